//! Limits: more is wider, none is widest.

use super::{Change, Direction};
use crate::language::{Kind, POLICY};
use crate::model::{ExecRule, Origin, Policy, RateRule, ToolLimit};
use crate::resolve::show_limit;
use std::collections::BTreeSet;

pub(super) fn changes(a: &Policy, b: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    let section = POLICY.all().into_iter().find(|section| section.name == "limits");
    for key in section.map(|section| section.keys).unwrap_or_default() {
        if matches!(key.kind, Kind::Counts(..) | Kind::Times(..)) {
            continue;
        }
        // An optional one that is absent is the largest there is.
        let of = |policy: &Policy| policy.limits.get(key.name).unwrap_or(u64::MAX);
        let (of_a, of_b) = (of(a), of(b));
        changes.extend(compare(
            layer(key.layer),
            format!("limits.{}", key.name),
            (of_a, place(a, key.name)),
            (of_b, place(b, key.name)),
            |value| if value == u64::MAX { "no limit".to_owned() } else { show_limit(key.kind, value) },
        ));
    }
    rates(a, b, &mut changes);
    let count = |value: u64| value.to_string();
    by_tool("concurrent", &a.concurrent, &b.concurrent, count, &mut changes);
    by_tool("tool_wall", &a.tool_walls, &b.tool_walls, |value| show_limit(Kind::Time(0, 0), value), &mut changes);
    commands(a, b, &mut changes);
    let expires = |policy: &Policy| (policy.approvals_expire_ms, None);
    let show = |value| show_limit(Kind::Time(0, 0), value);
    changes.extend(compare("shim", "approvals.expires".to_owned(), expires(a), expires(b), show));
    changes
}

/// The first layer that a key's row names.
fn layer(layers: &'static str) -> &'static str {
    layers.split(',').next().unwrap_or(layers)
}

fn compare(
    layer: &'static str,
    key: String,
    (of_a, a): (u64, Option<Origin>),
    (of_b, b): (u64, Option<Origin>),
    show: impl Fn(u64) -> String,
) -> Option<Change> {
    let direction = match of_b.cmp(&of_a) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => Direction::Widened,
        std::cmp::Ordering::Less => Direction::Narrowed,
    };
    Some(Change { direction, layer, key, what: format!("{} became {}", show(of_a), show(of_b)), a, b })
}

fn place(policy: &Policy, key: &str) -> Option<Origin> {
    let key = format!("limits.{key}");
    policy.settings.iter().find(|setting| setting.key == key).map(|setting| setting.origin.clone())
}

/// The longest run of each command: that of the entry it matches, which may be another one in B.
fn commands(a: &Policy, b: &Policy, changes: &mut Vec<Change>) {
    let matching = |policy: &'_ Policy, command: &[String]| -> Option<ExecRule> {
        let rules = policy.exec.iter().filter(|rule| rule.matches(command));
        rules.max_by_key(|rule| rule.command.len()).cloned()
    };
    let mut told = BTreeSet::new();
    for rule in a.exec.iter().chain(&b.exec) {
        let (Some(old), Some(new)) = (matching(a, &rule.command), matching(b, &rule.command)) else { continue };
        if told.insert((old.id.clone(), new.id.clone())) {
            let side = |rule: &ExecRule| (rule.wall_ms, Some(rule.origin.clone()));
            let show = |value| show_limit(Kind::Time(0, 0), value);
            changes.extend(compare("supervisor", format!("exec.{} wall", new.id), side(&old), side(&new), show));
        }
    }
}

fn rates(a: &Policy, b: &Policy, changes: &mut Vec<Change>) {
    let of = |policy: &Policy| -> Vec<ToolLimit> {
        let limit =
            |rate: &RateRule| ToolLimit { tool: rate.tool.clone(), most: rate.calls, origin: rate.origin.clone() };
        policy.rates.iter().map(limit).collect()
    };
    by_tool("calls_per_minute", &of(a), &of(b), |value| value.to_string(), changes);
}

/// Numbers by tool; what has none has no limit.
fn by_tool(key: &str, a: &[ToolLimit], b: &[ToolLimit], show: impl Fn(u64) -> String, changes: &mut Vec<Change>) {
    let mut tools: Vec<&str> = a.iter().chain(b).map(|limit| limit.tool.as_str()).collect();
    tools.sort_unstable();
    tools.dedup();
    for tool in tools {
        let of = |limits: &[ToolLimit]| {
            let limit = limits.iter().find(|limit| limit.tool == tool);
            (limit.map_or(u64::MAX, |limit| limit.most), limit.map(|limit| limit.origin.clone()))
        };
        let show = |value: u64| if value == u64::MAX { "no limit".to_owned() } else { show(value) };
        changes.extend(compare("tools", format!("limits.{key}.{tool}"), of(a), of(b), show));
    }
}
