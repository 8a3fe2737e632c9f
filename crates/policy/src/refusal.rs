//! What a decider says of a call it denies: the rule that decided, and every change that would allow it.

use crate::bundle::{Rule, RuleKind};
use crate::decide::{Asked, Decider};
use crate::denial::{Denial, EGRESS, EXEC, Fix};
use crate::engine::Outcome;
use crate::host::Endpoint;
use crate::model::CeilingEgress;
use crate::tool::{ArgError, EGRESS_HTTP, EGRESS_TCP, Tool};

/// The change that is no change of the policy.
pub(crate) const APPROVE: &str = "have a person approve it, or remove";

impl Decider {
    pub(crate) fn unknown_tool(&self, name: &str) -> Denial {
        let object: String = name.chars().take(128).collect();
        Denial::of("policy", object, "there is no tool of this name".to_owned(), &self.bundle.digest)
    }

    pub(crate) fn misfit(&self, tool: &str, error: &ArgError) -> Denial {
        // The object names the tool already.
        let reason = ArgError { tool: None, ..error.clone() }.to_string();
        Denial::of("schema", tool.to_owned(), reason, &self.bundle.digest)
    }

    pub(crate) fn denial(&self, asked: &Asked<'_>, outcome: &Outcome) -> Denial {
        let denial = Denial::of("policy", asked.object.to_owned(), String::new(), &self.bundle.digest);
        if !outcome.failures.is_empty() {
            return self.broken(denial, outcome);
        }
        let mut forbids: Vec<&Rule> = outcome.forbids.iter().filter_map(|rule| self.bundle.rules.get(*rule)).collect();
        forbids.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        let mut denial = denial.fixed_by(self.fixes(asked, &forbids, outcome.permits.is_empty()));
        denial.forbidden = !forbids.is_empty();
        match forbids.first() {
            Some(rule) if matches!(rule.kind, RuleKind::Deny | RuleKind::Ask | RuleKind::Rate | RuleKind::Ceiling) => {
                denied_by(&mut denial, rule);
            }
            Some(rule) if rule.kind == RuleKind::NoHost => self.no_host(&mut denial, asked),
            Some(rule) if self.mentions(asked.action) => self.missing(&mut denial, asked, rule.kind),
            _ => self.missing(&mut denial, asked, RuleKind::NotListed),
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
        denial.forbidden = true;
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
    fn fixes(&self, asked: &Asked<'_>, forbids: &[&Rule], permitted_by_none: bool) -> Vec<Fix> {
        let add = |key: &str, change: String| Fix {
            key: key.to_owned(),
            change,
            file: Some(self.bundle.file.clone()),
            line: None,
        };
        let list = || add("tools.allow", format!("add \"{}\"", asked.action));
        let command = || add(EXEC, "add an [[exec]] entry whose command is its beginning".to_owned());
        let is_exec = asked.action == Tool::Exec.name();
        let mut fixes = Vec::new();
        // `exec` and hosts are permitted by their entries, and listed by gates of their own.
        if permitted_by_none && !is_exec && !outside(asked.action) {
            fixes.push(list());
        }
        for rule in forbids {
            match rule.kind {
                RuleKind::Deny | RuleKind::Allow => fixes.push(change("remove or narrow", rule)),
                RuleKind::Ask => fixes.push(change(APPROVE, rule)),
                RuleKind::Rate => fixes.push(change("wait, or raise", rule)),
                RuleKind::Ceiling => fixes.push(change("have the host's owner widen", rule)),
                RuleKind::NoPath => {
                    fixes.push(add(fs_list(asked.action), "add it, or a directory above it,".to_owned()));
                }
                RuleKind::NoCommand => fixes.push(command()),
                RuleKind::NoHost => fixes.extend(self.reach(asked)),
                RuleKind::NotListed => {
                    fixes.push(list());
                    if is_exec && asked.rule.is_none() {
                        fixes.push(command());
                    }
                }
            }
        }
        fixes
    }

    /// Whether something the author wrote could allow this action.
    fn mentions(&self, action: &str) -> bool {
        let lists = |tool: &str| {
            tool == "*" || tool == action || tool.strip_suffix('*').is_some_and(|of| action.starts_with(of))
        };
        self.bundle.listed.iter().any(|entry| lists(&entry.tool))
            || (action != Tool::Exec.name() && self.bundle.user_permits)
    }

    fn missing(&self, denial: &mut Denial, asked: &Asked<'_>, kind: RuleKind) {
        let name = asked.action;
        let (reason, agent) = match kind {
            RuleKind::NoPath => {
                let reason = format!("no {} rule covers {}", fs_list(name), denial.object.escape_debug());
                (reason.clone(), reason)
            }
            RuleKind::NoCommand => {
                ("no [[exec]] rule matches this command".to_owned(), "no rule matches this command".to_owned())
            }
            _ => {
                let reason = if self.mentions(name) || outside(name) {
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

fn fs_list(tool: &str) -> &'static str {
    if tool == Tool::Write.name() { "fs.write" } else { "fs.read" }
}

fn outside(action: &str) -> bool {
    action == EGRESS_HTTP || action == EGRESS_TCP
}

impl Decider {
    /// Whether the host's ceiling lets no connection through to this place.
    fn beyond_ceiling(&self, asked: &Asked<'_>) -> Option<&CeilingEgress> {
        let ceiling = self.bundle.ceiling_egress.as_ref()?;
        let to: Endpoint = asked.id.parse().ok()?;
        let reaches = |most: &CeilingEgress| {
            most.host.matches(&to.host) && (most.ports.is_empty() || most.ports.contains(&to.port))
        };
        if ceiling.iter().any(reaches) { None } else { ceiling.first() }
    }

    /// Why no `[[egress]]` covers a connection.
    fn no_host(&self, denial: &mut Denial, asked: &Asked<'_>) {
        let beyond = self.beyond_ceiling(asked);
        denial.origin = beyond.map(|most| most.origin.clone());
        denial.reason = match beyond {
            Some(_) => "the host's ceiling does not let it through".to_owned(),
            None => "no [[egress]] rule covers it".to_owned(),
        };
        "no rule covers it".clone_into(&mut denial.agent_reason);
    }

    /// What would let a connection through.
    fn reach(&self, asked: &Asked<'_>) -> Vec<Fix> {
        let entry = Fix {
            key: EGRESS.to_owned(),
            change: format!("add an [[egress]] entry for {}", asked.object),
            file: Some(self.bundle.file.clone()),
            line: None,
        };
        let ceiling = self.beyond_ceiling(asked).map(|most| Fix {
            key: EGRESS.to_owned(),
            change: "have the host's owner widen".to_owned(),
            file: Some(most.origin.file.clone()),
            line: Some(most.origin.line),
        });
        std::iter::once(entry).chain(ceiling).collect()
    }
}
