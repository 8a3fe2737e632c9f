//! TOML lists become Cedar policies, so that one engine decides.
//!
//! What is written allows or denies; what is absent denies by a gate: a `forbid` that holds unless
//! something written covers the call. So a Cedar file of the author's can narrow, and can allow a tool
//! that `tools.allow` does not list, but cannot reach past `fs`, `[[exec]]`, `[[egress]]`, a limit, the
//! host's ceiling or a deny.

use crate::bundle::{ListEntry, RuleKind};
use crate::cedar::quote;
use crate::model::{McpRule, Origin};
use crate::path::PathRule;
use crate::resolve::{Entry, Resolved};
use crate::tool::{EGRESS_HTTP, EGRESS_TCP, MODEL_CHAT, Tool};
use crate::written::Rule;

/// Rules of the lists, in the order of the text, gates last.
pub(crate) fn generate(policy: &Resolved) -> Vec<Rule> {
    let tools = Tools { mcp: &policy.mcp, models: !policy.models.is_empty() };
    let mut rules = Vec::new();
    for entry in policy.allow.iter().chain(&policy.ask) {
        // What `exec` may run is written command by command.
        let listed: Vec<String> =
            tools.named(&entry.value).into_iter().filter(|tool| tool != Tool::Exec.name()).collect();
        if !listed.is_empty() {
            rules.push(written(entry, RuleKind::Allow, format!("permit (principal, {}, resource);", actions(&listed))));
        }
    }
    for entry in &policy.forbid {
        let text = format!("forbid (principal, {}, resource);", actions(&tools.named(&entry.value)));
        rules.push(written(entry, RuleKind::Deny, text));
    }
    for entry in policy.ask.iter().chain(&policy.ask_always) {
        let text = format!(
            "forbid (principal, {}, resource) unless {{ context.approved }};",
            actions(&tools.named(&entry.value))
        );
        // The same entry may allow too: two rules need two ids.
        let ask = Entry { id: format!("ask.{}", entry.id), ..entry.clone() };
        rules.push(written(&ask, RuleKind::Ask, text));
    }
    for entry in &policy.deny {
        let paths: Vec<String> = PATHS.iter().map(|tool| tool.name().to_owned()).collect();
        let text = format!("forbid (principal, {}, resource in {});", actions(&paths), tree(&entry.value));
        rules.push(written(entry, RuleKind::Deny, text));
    }
    for rate in &policy.rates {
        let counter = if rate.value.tool == "*" { "minute_all" } else { "minute" };
        let text = format!(
            "forbid (principal, {}, resource) when {{ context.calls.{counter} >= {} }};",
            actions(&tools.named(&rate.value.tool)),
            rate.value.calls
        );
        rules.push(written(rate, RuleKind::Rate, text));
    }
    if exec_listed(policy) {
        for (exec, reason) in &policy.exec {
            rules.push(by_rule(
                &format!("exec.{}", exec.id),
                &exec.id,
                &[Tool::Exec.name()],
                &exec.origin,
                reason.as_ref(),
            ));
        }
    }
    for egress in &policy.egress {
        let id = format!("egress.{}", egress.id);
        rules.push(by_rule(&id, &egress.id, &[EGRESS_HTTP, EGRESS_TCP], &egress.origin, egress.reason.as_ref()));
    }
    rules.extend(gates(policy, &tools));
    rules
}

/// What names stand for.
struct Tools<'p> {
    mcp: &'p [McpRule],
    models: bool,
}

impl Tools<'_> {
    /// The tools that an entry of a list names.
    fn named(&self, entry: &str) -> Vec<String> {
        let of = |server: &McpRule| -> Vec<String> {
            server.pins.iter().map(|(tool, _)| format!("mcp.{}.{tool}", server.name)).collect()
        };
        if entry == "*" {
            let own = Tool::ALL.iter().map(|tool| tool.name().to_owned());
            let model = self.models.then(|| MODEL_CHAT.to_owned());
            return own.chain(model).chain(self.mcp.iter().flat_map(of)).collect();
        }
        match entry.strip_prefix("mcp.").and_then(|rest| rest.strip_suffix(".*")) {
            Some(name) => self.mcp.iter().filter(|server| server.name == name).flat_map(of).collect(),
            None => vec![entry.to_owned()],
        }
    }
}

const PATHS: [Tool; 4] = [Tool::Read, Tool::Write, Tool::List, Tool::Stat];

fn exec_listed(policy: &Resolved) -> bool {
    policy.allow.iter().chain(&policy.ask).any(|entry| entry.value == "*" || entry.value == Tool::Exec.name())
}

fn gates(policy: &Resolved, tools: &Tools<'_>) -> Vec<Rule> {
    let gate = |id: &str, kind, cedar, origin| Rule {
        id: id.to_owned(),
        kind,
        cedar,
        origin,
        reason: None,
        public: true,
        author: false,
    };
    let readable: Vec<&Entry<PathRule>> = policy.read.iter().chain(&policy.write).collect();
    let writable: Vec<&Entry<PathRule>> = policy.write.iter().collect();
    let exec = actions(&[Tool::Exec.name().to_owned()]);
    let exec = if exec_listed(policy) {
        let text = format!("forbid (principal, {exec}, resource) unless {{ context has rule }};");
        gate("gate.exec", RuleKind::NoCommand, text, None)
    } else {
        gate("gate.exec", RuleKind::NotListed, format!("forbid (principal, {exec}, resource);"), None)
    };
    let outside = actions(&[EGRESS_HTTP.to_owned(), EGRESS_TCP.to_owned()]);
    let egress = format!("forbid (principal, {outside}, resource) unless {{ context has rule }};");
    let mut gates = vec![
        gate("gate.fs.read", RuleKind::NoPath, fence(&[Tool::Read, Tool::List, Tool::Stat], &readable), None),
        gate("gate.fs.write", RuleKind::NoPath, fence(&[Tool::Write], &writable), None),
        exec,
        gate("gate.egress", RuleKind::NoHost, egress, None),
    ];
    if let Some((allowed, origin)) = &policy.ceiling_tools {
        let let_through: Vec<String> = allowed.iter().flat_map(|entry| tools.named(entry)).collect();
        let all = tools.named("*");
        let refused: Vec<String> = all.into_iter().filter(|tool| !let_through.contains(tool)).collect();
        if !refused.is_empty() {
            let text = format!("forbid (principal, {}, resource);", actions(&refused));
            gates.push(gate("ceiling.tools.allow", RuleKind::Ceiling, text, Some(origin.clone())));
        }
    }
    gates
}

/// Allows the calls for which matching has found the rule of this id.
fn by_rule(id: &str, rule: &str, tools: &[&str], origin: &Origin, reason: Option<&String>) -> Rule {
    let tools: Vec<String> = tools.iter().map(|tool| (*tool).to_owned()).collect();
    let rule = quote(rule);
    Rule {
        id: id.to_owned(),
        kind: RuleKind::Allow,
        cedar: format!(
            "permit (principal, {}, resource) when {{ context has rule && context.rule == {rule} }};",
            actions(&tools)
        ),
        origin: Some(origin.clone()),
        reason: reason.cloned(),
        public: true,
        author: false,
    }
}

/// Denies the actions outside the workspace trees of `inside`.
fn fence(tools: &[Tool], inside: &[&Entry<PathRule>]) -> String {
    let trees: Vec<String> =
        inside.iter().filter(|e| matches!(e.value, PathRule::Workspace(_))).map(|e| tree(&e.value)).collect();
    // One set and not a chain of `||`, which Cedar would have to descend.
    let unless =
        if trees.is_empty() { String::new() } else { format!(" unless {{ resource in [{}] }}", trees.join(", ")) };
    let names: Vec<String> = tools.iter().map(|tool| tool.name().to_owned()).collect();
    format!("forbid (principal, {}, resource){unless};", actions(&names))
}

fn written(entry: &Entry<impl Clone>, kind: RuleKind, cedar: String) -> Rule {
    Rule {
        id: entry.id.clone(),
        kind,
        cedar,
        origin: Some(entry.place.origin()),
        reason: None,
        public: true,
        author: false,
    }
}

fn actions(tools: &[String]) -> String {
    let list: Vec<String> = tools.iter().map(|tool| format!("Action::{}", quote(tool))).collect();
    format!("action in [{}]", list.join(", "))
}

fn tree(path: &PathRule) -> String {
    format!("Path::{}", quote(&path.to_string()))
}

/// The entries of a list of tools, for what a denial says.
pub(crate) fn listed<'e>(entries: impl Iterator<Item = &'e Entry<String>>) -> Vec<ListEntry> {
    entries.map(|e| ListEntry { id: e.id.clone(), tool: e.value.clone(), origin: e.place.origin() }).collect()
}
