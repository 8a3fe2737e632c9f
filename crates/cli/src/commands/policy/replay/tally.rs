//! Decisions that change, by the rule that changes them.

use std::collections::BTreeMap;

use serde::Serialize;
use stockade_policy::{Expect, Origin, Ruling};

use super::asked::Why;

/// Groups that are told apart; a policy has fewer rules, but agents invent names of tools.
const GROUPS: usize = 4096;

/// What makes two changes one group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    from: Expect,
    to: Expect,
    layer: &'static str,
    rules: Vec<String>,
    /// The tool, where no rule decides.
    tool: String,
}

/// Changes of one kind by one rule.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub from: Expect,
    pub to: Expect,
    /// The layer that decides now.
    pub layer: &'static str,
    /// The rules that decide now; none: no rule allows it.
    pub rules: Vec<String>,
    /// Where the first of them is written.
    pub origin: Option<Origin>,
    /// Whether no layer of the version that recorded it does such a thing.
    pub unserved: bool,
    pub count: u64,
    pub example: Example,
}

/// One of a group.
#[derive(Debug, Serialize)]
pub(super) struct Example {
    pub run: String,
    pub seq: u64,
    pub time: String,
    /// The tool, or `syscall`.
    pub tool: String,
    /// What it is about, in the policy's spelling.
    pub object: String,
    /// Why it was decided as it was.
    pub then: String,
    /// Why it would be decided otherwise.
    pub now: String,
}

/// What is counted over all runs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub runs: u64,
    pub calls: u64,
    pub syscalls: u64,
    /// Calls about a path of the workspace.
    pub paths: u64,
    /// Connections, MCP calls, model calls.
    pub outside: u64,
    pub unchanged: u64,
    pub not: BTreeMap<Why, u64>,
    groups: BTreeMap<(bool, Key), Group>,
    /// Changes beyond the groups that are told apart.
    pub ungrouped: u64,
    /// Changes from allowed to not, and from not to allowed.
    pub denied: u64,
    pub allowed: u64,
}

impl Tally {
    /// Counts what cannot be put to a policy.
    pub(super) fn skip(&mut self, why: Why, count: u64) {
        *self.not.entry(why).or_default() += count;
    }

    /// Counts a decision.
    pub(super) fn put(
        &mut self,
        was: Expect,
        ruling: Ruling,
        tool: &str,
        unserved: bool,
        example: impl FnOnce(&Ruling) -> Example,
    ) {
        if ruling.verdict == was {
            self.unchanged += 1;
            return;
        }
        match (was == Expect::Allow, ruling.verdict == Expect::Allow) {
            (true, false) => self.denied += 1,
            (false, true) if !unserved => self.allowed += 1,
            _ => {}
        }
        let tool = if ruling.rules.is_empty() { tool.to_owned() } else { String::new() };
        let key = Key { from: was, to: ruling.verdict, layer: ruling.layer, rules: ruling.rules.clone(), tool };
        if let Some(group) = self.groups.get_mut(&(unserved, key.clone())) {
            group.count += 1;
        } else if self.groups.len() == GROUPS {
            self.ungrouped += 1;
        } else {
            let example = example(&ruling);
            let Ruling { verdict, layer, rules, origin, .. } = ruling;
            let group = Group { from: was, to: verdict, layer, rules, origin, unserved, count: 1, example };
            self.groups.insert((unserved, key), group);
        }
    }

    /// The groups, those that take the most away first.
    pub(super) fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<_> = self.groups.values().collect();
        groups.sort_by_key(|group| (group.unserved, group.from, group.to, std::cmp::Reverse(group.count)));
        groups
    }

    /// All changes.
    pub(super) fn changed(&self) -> u64 {
        self.groups.values().map(|group| group.count).sum::<u64>() + self.ungrouped
    }
}
