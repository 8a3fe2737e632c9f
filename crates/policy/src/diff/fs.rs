//! Paths of native programs. Rules are trees, so what holds of a path holds of all that lie between it and the
//! next tree of any rule: the roots of all trees stand for all paths.

use super::{Change, Direction, Pair, Tally};
use crate::attempt::{Access, Attempt};
use crate::model::{FsRule, Origin, Policy};
use crate::native;
use crate::path::PathRule;
use std::collections::BTreeSet;

pub(super) fn changes(pair: &Pair<'_>) -> Vec<Change> {
    let roots = roots(pair.a, pair.b);
    let mut changes = Vec::new();
    for access in [Access::Read, Access::Write, Access::Execute] {
        let mut tally = Tally::new("fs", format!("fs.{}", access.name()));
        for root in &roots {
            let attempt = Attempt::Path { path: root.to_string(), access };
            tally.ask(pair, &attempt, root.to_string());
        }
        changes.extend(tally.changes());
    }
    changes.extend(native::IDENTITY.iter().filter_map(|path| identity(pair, path)));
    changes
}

/// Every cell has files that say who the agent is; a rule shows the host's own in their place.
fn identity(pair: &Pair<'_>, path: &str) -> Option<Change> {
    let rule = |policy| native::sight(policy, path, Access::Read).ok().and_then(|sight| sight.rule);
    let (a, b) = (rule(pair.a), rule(pair.b));
    let direction = match (&a, &b) {
        (None, Some(_)) => Direction::Widened,
        (Some(_), None) => Direction::Narrowed,
        _ => return None,
    };
    let what = format!("the host's own {path}, in place of the cell's");
    let place = |rule: Option<(String, Origin)>| rule.map(|(_, origin)| origin);
    Some(Change { direction, layer: "fs", key: "fs.read".to_owned(), what, a: place(a), b: place(b) })
}

/// The roots of all trees of both policies.
pub(super) fn roots(a: &Policy, b: &Policy) -> BTreeSet<PathRule> {
    let of = |policy: &'_ Policy| -> Vec<PathRule> {
        let lists = [&policy.fs.read, &policy.fs.write, &policy.fs.execute, &policy.fs.deny];
        lists.into_iter().flatten().map(|rule: &FsRule| rule.path.clone()).collect()
    };
    let all = of(a).into_iter().chain(of(b));
    all.chain([PathRule::Workspace(String::new()), PathRule::Host("/".to_owned())]).collect()
}
