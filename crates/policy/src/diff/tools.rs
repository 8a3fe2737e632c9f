//! Tool calls. What the lists compile to is compared exactly, one call of each class; what people wrote in Cedar
//! is compared rule by rule.

use super::fs::roots;
use super::{Change, Direction, Pair, Tally, witnesses};
use crate::attempt::{Attempt, Expect};
use crate::bundle::{Bundle, Rule};
use crate::code::{Code, Op};
use crate::model::{EgressRule, Origin, Policy};
use crate::path::PathRule;
use crate::ruling::Ruling;
use crate::tool::{MODEL_CHAT, Tool};
use serde_json::json;
use std::collections::BTreeSet;

pub(super) fn changes(pair: &Pair<'_>, lists: &Pair<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (action, attempts) in classes(pair) {
        let mut whole = Tally::new("tools", &action);
        for (name, attempt) in &attempts {
            whole.ask(pair, attempt, name.clone());
        }
        if attempts.is_empty() {
            // Of an MCP tool: no list looks at its arguments.
            whole.note("any arguments".to_owned(), pair.judge_a.action(&action), pair.judge_b.action(&action));
        }
        let found = !whole.widened.is_empty();
        changes.extend(whole.changes());
        if found {
            continue;
        }
        let attempts: Vec<&Attempt> = attempts.iter().map(|(_, attempt)| attempt).collect();
        changes.extend(by_author(pair, lists, &action, &attempts));
    }
    changes
}

/// What no example shows, because rules that people wrote in Cedar decide on more than the lists tell apart.
/// `lists` are the same policies without those rules, and `attempts` one of each class that the lists tell apart.
pub(super) fn by_author(pair: &Pair<'_>, lists: &Pair<'_>, action: &str, attempts: &[&Attempt]) -> Option<Change> {
    match author(pair.a, pair.b, action) {
        Compared::None => None,
        Compared::Undecided(why) => Some(undecided(action, why)),
        Compared::Stricter { permits, other } => {
            // The same rules over wider lists, or over fewer denials, may meet a call that no example shows.
            let wider = gains(lists, action, attempts) || (permits && fewer_denials(lists, action, attempts));
            let why = "the lists allow more, and Cedar policies decide whether any call gains by it";
            if wider { Some(undecided(action, why.to_owned())) } else { other.map(|other| stricter(action, other)) }
        }
    }
}

pub(super) fn undecided(action: &str, why: String) -> Change {
    Change { direction: Direction::Undecided, layer: "tools", key: action.to_owned(), what: why, a: None, b: None }
}

/// Rules that can only narrow; what they narrow they alone know.
fn stricter(action: &str, (what, a, b): (String, Option<Origin>, Option<Origin>)) -> Change {
    Change { direction: Direction::Narrowed, layer: "tools", key: action.to_owned(), what, a, b }
}

/// The same policy without what people wrote in Cedar: all that the lists say.
pub(super) fn without_author(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.bundle.rules.retain(|rule| !rule.author);
    policy
}

/// What the rules that people wrote for an action come to.
enum Compared {
    /// There are none.
    None,
    /// B has the same or fewer permits, and the same or more denials.
    Stricter {
        /// Whether B has permits at all.
        permits: bool,
        /// A rule that only one of them has, with its place there.
        other: Option<(String, Option<Origin>, Option<Origin>)>,
    },
    /// They differ in a way that only their meaning could tell.
    Undecided(String),
}

fn author(a: &Policy, b: &Policy, action: &str) -> Compared {
    let of = |bundle: &'_ Bundle| -> Vec<Rule> {
        bundle.rules.iter().filter(|rule| rule.author && rule.code.is_about(action)).cloned().collect()
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
        return Compared::Undecided(format!(
            "the Cedar policy {} permits something, and A has none like it",
            place(&rule)
        ));
    }
    if let Some(rule) = stranger(&old, &new, true) {
        return Compared::Undecided(format!(
            "the Cedar policy {} of A denies something, and B has none like it",
            place(&rule)
        ));
    }
    let all = || old.iter().chain(&new);
    if a.id != b.id && all().any(|rule| names_principal(&rule.code)) {
        return Compared::Undecided(
            "Cedar policies look at the principal, which is the policy's id, and the ids differ".to_owned(),
        );
    }
    if all().any(|rule| names_entry(&rule.code)) && !same_entries(a, b) {
        let why = "Cedar policies look at context.rule, and the entries that it names differ";
        return Compared::Undecided(why.to_owned());
    }
    let gone = stranger(&old, &new, false).map(|rule| {
        (
            format!("the Cedar policy {} may have permitted something, and B has none like it", rule.id),
            rule.origin,
            None,
        )
    });
    let added = stranger(&new, &old, true).map(|rule| {
        (format!("the Cedar policy {} may deny something, and A has none like it", rule.id), None, rule.origin)
    });
    Compared::Stricter { permits: new.iter().any(|rule| !rule.code.forbid), other: added.or(gone) }
}

fn names_principal(code: &Code) -> bool {
    !code.principal.is_empty() || code.when.contains(&Op::Principal) || code.resource.contains(&Op::Principal)
}

/// Whether a condition looks at `context.rule`, or takes the context whole.
fn names_entry(code: &Code) -> bool {
    let named = |op: &Op| match op {
        Op::Get(name) | Op::Has(name) => name == "rule",
        Op::HasPath(names) => names.iter().any(|name| name == "rule"),
        _ => false,
    };
    let whole = |(at, op): (usize, &Op)| {
        let next = code.when.get(at.saturating_add(1));
        *op == Op::Context && !matches!(next, Some(Op::Get(_) | Op::Has(_) | Op::HasPath(_)))
    };
    code.when.iter().any(named) || code.when.iter().enumerate().any(whole)
}

/// Whether every call matches an entry of the same name in both.
fn same_entries(a: &Policy, b: &Policy) -> bool {
    let exec = |policy: &Policy| -> Vec<(String, Vec<String>)> {
        policy.exec.iter().map(|rule| (rule.id.clone(), rule.command.clone())).collect()
    };
    // A ceiling leaves a host its entry or takes it away, and what has none is refused before anything else.
    let egress = |policy: &Policy| -> Vec<serde_json::Value> {
        let rule = |rule: &EgressRule| json!([rule.id, rule.host, rule.scheme, rule.ports, rule.methods, rule.paths]);
        policy.egress.iter().map(rule).collect()
    };
    exec(a) == exec(b) && egress(a) == egress(b) && a.bundle.models == b.bundle.models
}

fn place(rule: &Rule) -> String {
    rule.origin.as_ref().map_or_else(|| rule.id.clone(), |origin| format!("{} ({origin})", rule.id))
}

/// What both say of an attempt of each class; of an MCP tool, whose arguments no list looks at, of the tool.
fn rulings(lists: &Pair<'_>, action: &str, attempts: &[&Attempt]) -> Vec<(Ruling, Ruling)> {
    if attempts.is_empty() {
        return vec![(lists.judge_a.action(action), lists.judge_b.action(action))];
    }
    attempts.iter().map(|attempt| (lists.judge_a.rule(attempt), lists.judge_b.rule(attempt))).collect()
}

fn gains(lists: &Pair<'_>, action: &str, attempts: &[&Attempt]) -> bool {
    // Allow before ask before deny.
    rulings(lists, action, attempts).iter().any(|(a, b)| b.verdict < a.verdict)
}

/// Whether the lists of A deny some call that those of B do not deny, whoever permits it.
fn fewer_denials(lists: &Pair<'_>, action: &str, attempts: &[&Attempt]) -> bool {
    // What nobody permits is not a denial by a rule. What is asked about is, until somebody approves.
    let denies = |ruling: &Ruling| match &ruling.denial {
        Some(denial) => {
            if ruling.verdict == Expect::Ask {
                1
            } else {
                2 * u8::from(denial.forbidden)
            }
        }
        None => 0,
    };
    rulings(lists, action, attempts).iter().any(|(a, b)| denies(b) < denies(a))
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
            Tool::Clock | Tool::Tools => vec![("any".to_owned(), call(tool.name(), json!({})))],
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
    let fresh = witnesses().find(|word| !models.contains(word)).unwrap_or_default();
    let asked = models.into_iter().map(|model| if model == "*" { &fresh } else { model });
    let chats: Vec<_> = asked.map(|model| (model.clone(), call(MODEL_CHAT, json!({ "model": model })))).collect();
    // A model that no entry serves is refused whatever a Cedar policy permits.
    if !chats.is_empty() {
        classes.push((MODEL_CHAT.to_owned(), chats));
    }
    classes
}

fn named(path: &str) -> String {
    if path == "." { "@workspace".to_owned() } else { format!("@workspace/{path}") }
}

/// Each command that a rule begins with, as it is and with one more argument.
fn commands(pair: &Pair<'_>) -> Vec<(String, Attempt)> {
    let rules = || pair.a.exec.iter().chain(&pair.b.exec);
    let taken = |word: &String| rules().flat_map(|rule| &rule.command).any(|known| known.contains(word.as_str()));
    let fresh = witnesses().find(|word| !taken(word)).unwrap_or_default();
    let mut all: BTreeSet<Vec<String>> = BTreeSet::from([vec![format!("/{fresh}")]]);
    for rule in rules() {
        all.insert(rule.command.clone());
        all.insert(rule.command.iter().cloned().chain([fresh.clone()]).collect());
    }
    let attempt = |argv: Vec<String>| {
        let name = json!(argv).to_string();
        (name, Attempt::Call { tool: Tool::Exec.name().to_owned(), args: json!({ "argv": argv }), approved: false })
    };
    all.into_iter().map(attempt).collect()
}
