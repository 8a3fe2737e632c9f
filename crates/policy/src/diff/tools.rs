//! Tool calls. What the lists compile to is compared exactly, one call of each class; what people wrote in Cedar
//! is compared rule by rule.

use super::fs::roots;
use super::{Change, Direction, Pair, Tally};
use crate::CompileError;
use crate::attempt::Attempt;
use crate::bundle::{Bundle, Rule};
use crate::code::Code;
use crate::model::Policy;
use crate::path::PathRule;
use crate::ruling::Judge;
use crate::tool::{MODEL_CHAT, Tool};
use serde_json::json;
use std::collections::BTreeSet;

pub(super) fn changes(pair: &Pair<'_>) -> Result<Vec<Change>, CompileError> {
    // The same policies without what people wrote in Cedar: all that the lists say.
    let (lists_a, lists_b) = (without_author(pair.a), without_author(pair.b));
    let lists = Pair { a: &lists_a, b: &lists_b, judge_a: Judge::new(&lists_a)?, judge_b: Judge::new(&lists_b)? };
    let mut changes = Vec::new();
    for (action, attempts) in classes(pair) {
        let mut whole = Tally::new("tools", &action);
        let mut by_lists = Tally::new("tools", &action);
        for (name, attempt) in &attempts {
            whole.ask(pair, attempt, name.clone());
            by_lists.ask(&lists, attempt, name.clone());
        }
        if attempts.is_empty() {
            // Of an MCP tool: no list looks at its arguments.
            whole.note("any arguments".to_owned(), pair.judge_a.action(&action), pair.judge_b.action(&action));
            by_lists.note("any arguments".to_owned(), lists.judge_a.action(&action), lists.judge_b.action(&action));
        }
        let found = !whole.widened.is_empty();
        changes.extend(whole.changes());
        if found {
            continue;
        }
        match author(pair.a, pair.b, &action) {
            Compared::None => {}
            Compared::Undecided(why) => changes.push(undecided(&action, why)),
            Compared::Stricter { permits } => {
                // The same rules over wider lists, or over fewer denials, may meet a call that no example shows.
                let lists_widen = !by_lists.widened.is_empty();
                if lists_widen || (permits && fewer_denials(&lists, &action, &attempts)) {
                    let why = "the lists allow more, and Cedar policies decide whether any call gains by it".to_owned();
                    changes.push(undecided(&action, why));
                }
            }
        }
    }
    Ok(changes)
}

pub(super) fn undecided(action: &str, why: String) -> Change {
    Change { direction: Direction::Undecided, layer: "tools", key: action.to_owned(), what: why, a: None, b: None }
}

fn without_author(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.bundle.rules.retain(|rule| !rule.author);
    policy
}

/// What the rules that people wrote for an action come to.
pub(super) enum Compared {
    /// There are none.
    None,
    /// B has the same or fewer permits, and the same or more denials.
    Stricter {
        /// Whether B has permits at all.
        permits: bool,
    },
    /// They differ in a way that only their meaning could tell.
    Undecided(String),
}

pub(super) fn author(a: &Policy, b: &Policy, action: &str) -> Compared {
    let of = |bundle: &'_ Bundle| -> Vec<Rule> {
        let about = |code: &Code| code.actions.as_ref().is_none_or(|actions| actions.iter().any(|uid| uid.1 == action));
        bundle.rules.iter().filter(|rule| rule.author && about(&rule.code)).cloned().collect()
    };
    let (old, new) = (of(&a.bundle), of(&b.bundle));
    if old.is_empty() && new.is_empty() {
        return Compared::None;
    }
    let stranger = |these: &[Rule], those: &[Rule], forbid: bool| {
        let mine = these.iter().filter(|rule| rule.code.forbid == forbid);
        mine.into_iter().find(|rule| !those.iter().any(|other| other.code == rule.code)).cloned()
    };
    if let Some(rule) = stranger(&new, &old, false) {
        return Compared::Undecided(format!("the Cedar policy {} permits something, and A has none like it", place(&rule)));
    }
    if let Some(rule) = stranger(&old, &new, true) {
        return Compared::Undecided(format!("the Cedar policy {} of A denies something, and B has none like it", place(&rule)));
    }
    Compared::Stricter { permits: new.iter().any(|rule| !rule.code.forbid) }
}

fn place(rule: &Rule) -> String {
    rule.origin.as_ref().map_or_else(|| rule.id.clone(), |origin| format!("{} ({origin})", rule.id))
}

/// Whether the lists of A deny some call that those of B do not deny, whoever permits it.
fn fewer_denials(lists: &Pair<'_>, action: &str, attempts: &[(String, Attempt)]) -> bool {
    let denies = |judge: &Judge<'_>, attempt: Option<&Attempt>| {
        let ruling = attempt.map_or_else(|| judge.action(action), |attempt| judge.rule(attempt));
        // What nobody permits is not a denial by a rule.
        ruling.denial.is_some_and(|denial| denial.forbidden)
    };
    let loses = |attempt: Option<&Attempt>| denies(&lists.judge_a, attempt) && !denies(&lists.judge_b, attempt);
    if attempts.is_empty() { loses(None) } else { attempts.iter().any(|(_, attempt)| loses(Some(attempt))) }
}

/// One call of each class that the lists of either policy tell apart, by action.
fn classes(pair: &Pair<'_>) -> Vec<(String, Vec<(String, Attempt)>)> {
    let call = |tool: &str, args: serde_json::Value| Attempt::Call { tool: tool.to_owned(), args, approved: false };
    let mut classes = Vec::new();
    let paths: Vec<String> = roots(pair.a, pair.b)
        .into_iter()
        .filter_map(|root| match root {
            PathRule::Workspace(path) if path.is_empty() => Some(".".to_owned()),
            PathRule::Workspace(path) => Some(path),
            PathRule::Host(_) => None,
        })
        .collect();
    for tool in Tool::ALL {
        let attempts = match tool {
            Tool::Read | Tool::List | Tool::Stat => {
                paths.iter().map(|path| (named(path), call(tool.name(), json!({ "path": path })))).collect()
            }
            Tool::Write => {
                let write = |path: &String| (named(path), call(tool.name(), json!({ "path": path, "content": "" })));
                paths.iter().map(write).collect()
            }
            Tool::Clock => vec![("any".to_owned(), call(tool.name(), json!({})))],
            Tool::Random => vec![("any".to_owned(), call(tool.name(), json!({ "length": 1 })))],
            Tool::Exec => commands(pair),
        };
        classes.push((tool.name().to_owned(), attempts));
    }
    let servers = pair.judge_a.decider().servers.iter().chain(&pair.judge_b.decider().servers);
    let actions: BTreeSet<String> =
        servers.flat_map(|server| server.tools().iter().map(|tool| server.action(tool))).collect();
    classes.extend(actions.into_iter().map(|action| (action, Vec::new())));
    let models: BTreeSet<&String> = pair.a.models.iter().chain(&pair.b.models).flat_map(|rule| &rule.models).collect();
    let asked = models.into_iter().map(|model| match model.as_str() {
        "*" => "stockade-witness",
        model => model,
    });
    let chats = asked.map(|model| (model.to_owned(), call(MODEL_CHAT, json!({ "model": model })))).collect();
    classes.push((MODEL_CHAT.to_owned(), chats));
    classes
}

fn named(path: &str) -> String {
    if path == "." { "@workspace".to_owned() } else { format!("@workspace/{path}") }
}

/// Each command that a rule begins with, as it is and with one more argument.
fn commands(pair: &Pair<'_>) -> Vec<(String, Attempt)> {
    let rules = pair.a.exec.iter().chain(&pair.b.exec);
    let mut all: BTreeSet<Vec<String>> = BTreeSet::from([vec!["/stockade-witness".to_owned()]]);
    for rule in rules {
        all.insert(rule.command.clone());
        all.insert(rule.command.iter().cloned().chain(["stockade-witness".to_owned()]).collect());
    }
    let attempt = |argv: Vec<String>| {
        let name = json!(argv).to_string();
        (name, Attempt::Call { tool: Tool::Exec.name().to_owned(), args: json!({ "argv": argv }), approved: false })
    };
    all.into_iter().map(attempt).collect()
}
