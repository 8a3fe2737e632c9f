//! One run put to a policy, record by record, with the facts each decision had.

use std::collections::HashMap;

use stockade_journal::{Call, Entry, Reader, Record, Syscall, parse_time};
use stockade_policy::{Attempt, Denial, Expect, Facts, Judge, Ruling, Tool};

use super::asked::{self, Asked, Why};
use super::moments::Moments;
use super::tally::{Example, Tally};
use crate::moment::Moment;

/// System calls whose answer is remembered: the filter looks at nothing but them.
const REMEMBERED: usize = 4096;

/// A run.
pub(super) struct Course<'a> {
    judge: &'a Judge<'a>,
    run: &'a str,
    since: Option<Moment>,
    until: Option<Moment>,
    /// `wasm` or `native`.
    kind: String,
    moments: Moments,
    syscalls: HashMap<(String, [u64; 6]), Ruling>,
}

impl<'a> Course<'a> {
    pub(super) fn new(judge: &'a Judge<'a>, run: &'a str, since: Option<Moment>, until: Option<Moment>) -> Self {
        let (moments, syscalls) = (Moments::default(), HashMap::new());
        Self { judge, run, since, until, kind: String::new(), moments, syscalls }
    }

    /// Puts a record to the policy, if it is one that was decided.
    pub(super) fn put(&mut self, reader: &Reader, entry: Entry, tally: &mut Tally) {
        let now = parse_time(&entry.time).unwrap_or(0);
        let asked_for = self.since.is_none_or(|since| now >= since.0) && self.until.is_none_or(|until| now < until.0);
        match entry.record {
            Record::Start(start) => self.kind = start.kind,
            Record::Call(call) => {
                let facts = self.moments.facts(&call, now);
                if asked_for {
                    tally.calls += 1;
                    self.call(reader, call, facts, (entry.seq, entry.time), tally);
                }
            }
            // It has no time.
            Record::Tombstone { .. } => tally.skip(Why::Pruned, 1),
            Record::Syscall(call) if asked_for => self.syscall(&call, (entry.seq, entry.time), tally),
            _ => {}
        }
    }

    fn call(&self, reader: &Reader, mut call: Call, facts: Facts, at: (u64, String), tally: &mut Tally) {
        let attempt = match asked::call(reader, &mut call) {
            Asked::Attempt(attempt) => attempt,
            Asked::Fixed => return tally.unchanged += 1,
            Asked::Not(why) => return tally.skip(why, 1),
        };
        match Tool::from_name(&call.tool) {
            Some(Tool::Read | Tool::Write | Tool::List | Tool::Stat) => tally.paths += 1,
            None => tally.outside += u64::from(call.tool.starts_with("mcp.") || is_outside(&call.tool)),
            _ => {}
        }
        let ruling = match self.over_limit(&attempt) {
            Some(ruling) => ruling,
            None => self.judge.rule_at(&attempt, facts),
        };
        let (was, unserved) = (asked::decided(&call), asked::is_unserved(&call));
        tally.put(was, ruling, &call.tool, unserved, |ruling| self.example(at, &call.tool, &call.reason, ruling));
    }

    /// The denial of a call beyond the number that the policy gives a run.
    fn over_limit(&self, attempt: &Attempt) -> Option<Ruling> {
        let bundle = self.judge.decider().bundle();
        if self.moments.decided() <= bundle.calls {
            return None;
        }
        let object: String = match attempt {
            Attempt::Call { tool, .. } => tool.chars().take(128).collect(),
            other => other.to_string(),
        };
        let denial = Denial::over_calls(bundle, object.clone());
        let (layer, reason, rules) = (denial.layer, denial.reason.clone(), vec!["limits.calls".to_owned()]);
        let denial = Some(denial);
        Some(Ruling { verdict: Expect::Deny, layer, object, rules, origin: None, reason, denial })
    }

    fn syscall(&mut self, call: &Syscall, at: (u64, String), tally: &mut Tally) {
        tally.syscalls += 1;
        let attempt = match asked::syscall(&self.kind, call) {
            Asked::Attempt(attempt) => attempt,
            Asked::Fixed => return tally.unchanged += 1 + call.repeated,
            Asked::Not(why) => return tally.skip(why, 1 + call.repeated),
        };
        if call.repeated > 0 {
            tally.skip(Why::Folded, call.repeated);
        }
        let Attempt::Syscall { name, args } = &attempt else { return };
        let key = (name.clone(), *args);
        let ruling = match self.syscalls.get(&key) {
            Some(ruling) => ruling.clone(),
            None => {
                let ruling = self.judge.rule_at(&attempt, Facts::default());
                if self.syscalls.len() < REMEMBERED {
                    self.syscalls.insert(key, ruling.clone());
                }
                ruling
            }
        };
        let then = format!("the filter handed it to the shim, which refused it: {}", call.errno);
        let tool = format!("syscall {}", call.name);
        tally.put(Expect::Deny, ruling, &tool, false, |ruling| self.example(at, &tool, &then, ruling));
    }

    fn example(&self, (seq, time): (u64, String), tool: &str, then: &str, ruling: &Ruling) -> Example {
        let text = |text: &str| text.chars().take(1024).collect();
        Example {
            run: self.run.to_owned(),
            seq,
            time,
            tool: text(tool),
            object: text(&ruling.object),
            then: text(then),
            now: text(&ruling.reason),
        }
    }
}

fn is_outside(tool: &str) -> bool {
    use stockade_policy::tool::{EGRESS_HTTP, EGRESS_TCP, MODEL_CHAT};
    [EGRESS_HTTP, EGRESS_TCP, MODEL_CHAT].contains(&tool)
}
