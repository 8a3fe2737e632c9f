//! What a decider says of a call it denies: the rule that decided, and every change that would allow it.

use crate::bundle::{Rule, RuleKind};
use crate::decide::Decider;
use crate::denial::{Denial, EXEC, Fix};
use crate::engine::Outcome;
use crate::tool::{ArgError, Tool, ToolCall};

impl Decider {
    pub(crate) fn unknown_tool(&self, name: &str) -> Denial {
        let object: String = name.chars().take(128).collect();
        Denial::of("policy", object, "there is no tool of this name".to_owned(), &self.bundle.digest)
    }

    pub(crate) fn misfit(&self, tool: Tool, error: &ArgError) -> Denial {
        // The object names the tool already.
        let reason = ArgError { tool: None, ..error.clone() }.to_string();
        Denial::of("schema", tool.name().to_owned(), reason, &self.bundle.digest)
    }

    pub(crate) fn denial(&self, call: &ToolCall, exec: Option<&str>, outcome: &Outcome) -> Denial {
        let denial = Denial::of("policy", call.object(), String::new(), &self.bundle.digest);
        if !outcome.failures.is_empty() {
            return self.broken(denial, outcome);
        }
        let mut forbids: Vec<&Rule> = outcome.forbids.iter().filter_map(|rule| self.bundle.rules.get(*rule)).collect();
        forbids.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        let mut denial = denial.fixed_by(self.fixes(call, exec, &forbids, outcome.permits.is_empty()));
        match forbids.first() {
            Some(rule) if rule.kind == RuleKind::Deny => denied_by(&mut denial, rule),
            Some(rule) if self.mentions(call.tool()) => self.missing(&mut denial, call, rule.kind),
            _ => self.missing(&mut denial, call, RuleKind::NotListed),
        }
        denial
    }

    /// A rule that fails is named with its place, and nothing else is known.
    fn broken(&self, denial: Denial, outcome: &Outcome) -> Denial {
        let failed = outcome.failures.iter().filter_map(|(rule, why)| Some((self.bundle.rules.get(*rule)?, why)));
        let whys: Vec<String> =
            failed.clone().map(|(rule, why)| format!("error while evaluating policy `{}`: {why}", rule.id)).collect();
        let fixes = failed.clone().map(|(rule, _)| change("correct", rule)).collect();
        let mut denial = denial.fixed_by(fixes);
        if let Some((rule, _)) = failed.clone().next() {
            denial.rule = Some(rule.id.clone());
            denial.origin.clone_from(&rule.origin);
            denial.public_rule = rule.public;
        }
        denial.reason = format!("a rule could not be evaluated, so the call is denied: {}", whys.join("; "));
        "a rule could not be evaluated".clone_into(&mut denial.agent_reason);
        denial
    }

    /// Every change it takes, not only the first that would come to light.
    fn fixes(&self, call: &ToolCall, exec: Option<&str>, forbids: &[&Rule], permitted_by_none: bool) -> Vec<Fix> {
        let add = |key: &str, change: String| Fix {
            key: key.to_owned(),
            change,
            file: Some(self.bundle.file.clone()),
            line: None,
        };
        let tool = call.tool();
        let list = || add("tools.allow", format!("add \"{}\"", tool.name()));
        let command = || add(EXEC, "add an [[exec]] entry whose command is its beginning".to_owned());
        let mut fixes = Vec::new();
        // `exec` is permitted by its entries, and listed by a gate of its own.
        if permitted_by_none && tool != Tool::Exec {
            fixes.push(list());
        }
        for rule in forbids {
            match rule.kind {
                RuleKind::Deny | RuleKind::Allow | RuleKind::Ask => fixes.push(change("remove or narrow", rule)),
                RuleKind::Rate => fixes.push(change("raise", rule)),
                RuleKind::Ceiling => fixes.push(change("widen", rule)),
                RuleKind::NoHost => fixes.push(add("[[egress]]", "add an entry that covers it".to_owned())),
                RuleKind::NoPath => fixes.push(add(fs_list(tool), "add it, or a directory above it,".to_owned())),
                RuleKind::NoCommand => fixes.push(command()),
                RuleKind::NotListed => {
                    fixes.push(list());
                    if tool == Tool::Exec && exec.is_none() {
                        fixes.push(command());
                    }
                }
            }
        }
        fixes
    }

    /// Whether something the author wrote could allow this tool.
    fn mentions(&self, tool: Tool) -> bool {
        self.bundle.listed.iter().any(|entry| entry.tool == "*" || entry.tool == tool.name())
            || (tool != Tool::Exec && self.bundle.user_permits)
    }

    fn missing(&self, denial: &mut Denial, call: &ToolCall, kind: RuleKind) {
        let name = call.tool().name();
        let (reason, agent) = match kind {
            RuleKind::NoPath => {
                let reason = format!("no {} rule covers {}", fs_list(call.tool()), denial.object.escape_debug());
                (reason.clone(), reason)
            }
            RuleKind::NoCommand => {
                ("no [[exec]] rule matches this command".to_owned(), "no rule matches this command".to_owned())
            }
            _ => {
                let reason = if self.mentions(call.tool()) {
                    format!("no rule allows this call of {name}")
                } else {
                    format!("tools.allow does not list {name}")
                };
                (reason, format!("no rule allows {name}"))
            }
        };
        (denial.reason, denial.agent_reason) = (reason, agent);
    }
}

fn denied_by(denial: &mut Denial, rule: &Rule) {
    denial.rule = Some(rule.id.clone());
    denial.origin.clone_from(&rule.origin);
    denial.public_rule = rule.public;
    let why = rule.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
    denial.reason = format!("rule {} denies it{why}", rule.id);
    denial.agent_reason = format!("a rule denies it{why}");
}

/// A change of a rule that is there.
fn change(how: &str, rule: &Rule) -> Fix {
    let at = rule.origin.as_ref();
    Fix { key: rule.id.clone(), change: how.to_owned(), file: at.map(|o| o.file.clone()), line: at.map(|o| o.line) }
}

fn fs_list(tool: Tool) -> &'static str {
    if tool == Tool::Write { "fs.write" } else { "fs.read" }
}
