//! TOML lists become Cedar policies, so that one engine decides.
//!
//! What is written allows or denies; what is absent denies by a gate: a `forbid` that holds unless
//! something written covers the call. So a Cedar file of the author's can narrow, and can allow a tool
//! that `tools.allow` does not list, but cannot reach past `fs`, `[[exec]]` or a deny.

use crate::bundle::{ListEntry, RuleKind};
use crate::cedar::quote;
use crate::path::PathRule;
use crate::resolve::{Entry, Resolved};
use crate::tool::Tool;
use crate::written::Rule;

/// Rules of the lists, in the order of the text, gates last.
pub(crate) fn generate(policy: &Resolved) -> Vec<Rule> {
    let mut rules = Vec::new();
    let exec_listed = policy.allow.iter().any(|e| names(&e.value).contains(&Tool::Exec));
    for entry in &policy.allow {
        let tools: Vec<Tool> = names(&entry.value).into_iter().filter(|t| *t != Tool::Exec).collect();
        if !tools.is_empty() {
            rules.push(written(entry, RuleKind::Allow, format!("permit (principal, {}, resource);", actions(&tools))));
        }
    }
    for entry in &policy.forbid {
        let text = format!("forbid (principal, {}, resource);", actions(&names(&entry.value)));
        rules.push(written(entry, RuleKind::Deny, text));
    }
    for entry in &policy.deny {
        let text = format!("forbid (principal, {}, resource in {});", actions(&PATHS), tree(&entry.value));
        rules.push(written(entry, RuleKind::Deny, text));
    }
    if exec_listed {
        for (exec, reason) in &policy.exec {
            let id = quote(&exec.id);
            rules.push(Rule {
                id: format!("exec.{}", exec.id),
                kind: RuleKind::Allow,
                cedar: format!(
                    "permit (principal, {}, resource) when {{ context has rule && context.rule == {id} }};",
                    actions(&[Tool::Exec])
                ),
                origin: Some(exec.origin.clone()),
                reason: reason.clone(),
                public: true,
            });
        }
    }
    rules.extend(gates(policy, exec_listed));
    rules
}

const PATHS: [Tool; 4] = [Tool::Read, Tool::Write, Tool::List, Tool::Stat];

fn gates(policy: &Resolved, exec_listed: bool) -> [Rule; 3] {
    let gate =
        |id: &str, kind, cedar| Rule { id: id.to_owned(), kind, cedar, origin: None, reason: None, public: true };
    let readable: Vec<&Entry<PathRule>> = policy.read.iter().chain(&policy.write).collect();
    let writable: Vec<&Entry<PathRule>> = policy.write.iter().collect();
    let exec = actions(&[Tool::Exec]);
    let exec = if exec_listed {
        gate(
            "gate.exec",
            RuleKind::NoCommand,
            format!("forbid (principal, {exec}, resource) unless {{ context has rule }};"),
        )
    } else {
        gate("gate.exec", RuleKind::NotListed, format!("forbid (principal, {exec}, resource);"))
    };
    [
        gate("gate.fs.read", RuleKind::NoPath, fence(&[Tool::Read, Tool::List, Tool::Stat], &readable)),
        gate("gate.fs.write", RuleKind::NoPath, fence(&[Tool::Write], &writable)),
        exec,
    ]
}

/// Denies the actions outside the workspace trees of `inside`.
fn fence(tools: &[Tool], inside: &[&Entry<PathRule>]) -> String {
    let trees: Vec<String> =
        inside.iter().filter(|e| matches!(e.value, PathRule::Workspace(_))).map(|e| tree(&e.value)).collect();
    // One set and not a chain of `||`, which Cedar would have to descend.
    let unless =
        if trees.is_empty() { String::new() } else { format!(" unless {{ resource in [{}] }}", trees.join(", ")) };
    format!("forbid (principal, {}, resource){unless};", actions(tools))
}

fn written(entry: &Entry<impl Clone>, kind: RuleKind, cedar: String) -> Rule {
    Rule { id: entry.id.clone(), kind, cedar, origin: Some(entry.place.origin()), reason: None, public: true }
}

fn names(entry: &str) -> Vec<Tool> {
    if entry == "*" { Tool::ALL.to_vec() } else { Tool::from_name(entry).into_iter().collect() }
}

fn actions(tools: &[Tool]) -> String {
    let list: Vec<String> = tools.iter().map(|t| format!("Action::{}", quote(t.name()))).collect();
    format!("action in [{}]", list.join(", "))
}

fn tree(path: &PathRule) -> String {
    format!("Path::{}", quote(&path.to_string()))
}

/// The entries of `tools.allow`, for what a denial says.
pub(crate) fn listed(policy: &Resolved) -> Vec<ListEntry> {
    let one = |e: &Entry<String>| ListEntry { id: e.id.clone(), tool: e.value.clone(), origin: e.place.origin() };
    policy.allow.iter().map(one).collect()
}
