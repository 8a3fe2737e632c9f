//! What a policy says of any attempt, for its tests, for `policy explain`, and for comparing two policies.
//!
//! Calls of tools, hosts and models go to the decider that a shim runs; paths to the list that the planner
//! makes Landlock rules of; syscalls to the filter that the launcher loads.

use crate::attempt::{Attempt, Expect, Http};
use crate::bundle::Bundle;
use crate::cedar::CompileError;
use crate::context::chat_args;
use crate::decide::{Asked, Decider, Judged, Request};
use crate::denial::{Denial, Fix};
use crate::facts::Facts;
use crate::host::{Endpoint, Method, UrlPath};
use crate::model::{EgressRule, Narrowed, Origin, Policy, Scheme, SyscallAction};
use crate::native;
use crate::path::{PathRule, beneath};
use crate::schema;
use crate::seccomp;
use crate::tool::{ArgError, MODEL_CHAT};
use crate::verdict::{NOBODY_TO_ASK, Verdict};
use serde::Serialize;
use serde_json::Value;

/// What is said of an attempt, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ruling {
    /// `allow`, `ask` or `deny`.
    pub verdict: Expect,
    /// The layer that decides.
    pub layer: &'static str,
    /// The object in its one spelling.
    pub object: String,
    /// Ids of the rules that allow it, or that ask.
    pub rules: Vec<String>,
    /// Where the first of them is written.
    pub origin: Option<Origin>,
    /// Why, for the operator.
    pub reason: String,
    /// The record that a journal would hold, of what is not allowed.
    pub denial: Option<Denial>,
}

/// A policy ready to be asked.
#[derive(Debug)]
pub struct Judge<'p> {
    policy: &'p Policy,
    decider: Decider,
}

impl<'p> Judge<'p> {
    /// Loads the policy as a shim does.
    ///
    /// # Errors
    /// [`CompileError`] names the rule.
    pub fn new(policy: &'p Policy) -> Result<Self, CompileError> {
        Ok(Self { policy, decider: Decider::new(&policy.bundle)? })
    }

    /// What decides tool calls.
    #[must_use]
    pub fn decider(&self) -> &Decider {
        &self.decider
    }

    /// What the policy says, with no calls before it and the clock at zero.
    #[must_use]
    pub fn rule(&self, attempt: &Attempt) -> Ruling {
        self.rule_at(attempt, Facts::default())
    }

    /// What the policy says at a moment. Whether somebody approved a call is for the attempt to say.
    #[must_use]
    pub fn rule_at(&self, attempt: &Attempt, facts: Facts) -> Ruling {
        match attempt {
            Attempt::Call { tool, args, approved } => {
                let facts = Facts { approved: *approved, ..facts };
                self.call(tool, args, facts)
            }
            Attempt::Host { endpoint, http } => self.host(endpoint, http.as_ref(), &facts),
            Attempt::Path { path, access } => match native::sight(self.policy, path, *access) {
                Ok(sight) => self.path(&sight, *access),
                Err(error) => denied(Denial::of("schema", path.clone(), format!("not a path: {error}"), self.digest())),
            },
            Attempt::Syscall { name, args } => self.syscall(name, *args),
        }
    }

    fn digest(&self) -> &str {
        &self.policy.digest
    }

    fn bundle(&self) -> &Bundle {
        &self.decider.bundle
    }

    fn call(&self, tool: &str, args: &Value, facts: Facts) -> Ruling {
        if tool == MODEL_CHAT {
            return self.chat(args, &facts);
        }
        match self.decider.decide(&Request { tool, args, facts }) {
            Verdict::Allow(grant) => Ruling {
                verdict: Expect::Allow,
                layer: "policy",
                object: grant.object(),
                origin: self.origin(grant.rules()),
                rules: grant.rules().to_vec(),
                reason: grant.reason().to_owned(),
                denial: None,
            },
            Verdict::Ask(question) => Ruling {
                verdict: Expect::Ask,
                layer: "policy",
                object: question.call().object(),
                origin: self.origin(question.rules()),
                rules: question.rules().to_vec(),
                reason: format!("it needs an approval: {}", question.reason()),
                denial: Some(question.refused(NOBODY_TO_ASK)),
            },
            Verdict::Deny(denial) => denied(denial),
        }
    }

    fn origin(&self, rules: &[String]) -> Option<Origin> {
        let rules = rules.iter().filter_map(|id| self.bundle().rules.iter().find(|rule| rule.id == *id));
        rules.filter_map(|rule| rule.origin.clone()).next()
    }

    fn judged(&self, asked: &Asked<'_>, facts: &Facts) -> Ruling {
        let ruling = |verdict, rules: Vec<String>, reason, denial| Ruling {
            verdict,
            layer: "policy",
            object: asked.object.to_owned(),
            origin: self.origin(&rules),
            rules,
            reason,
            denial,
        };
        match self.decider.judge(asked, facts) {
            Judged::Allowed(outcome) => {
                let rules = self.decider.permitting(asked.action, &outcome);
                let reason = format!("allowed by {}", self.decider.describe(&rules));
                ruling(Expect::Allow, rules, reason, None)
            }
            Judged::Asks(before, after) => {
                let rules = self.decider.asking(&before, &after);
                let reason = format!("it needs an approval: {}", self.decider.describe(&rules));
                let denial = self.decider.denial(asked, &before);
                ruling(Expect::Ask, rules, reason, Some(denial))
            }
            Judged::Denied(outcome) => denied(self.decider.denial(asked, &outcome)),
        }
    }

    /// What the lists say of an action, whatever its arguments: no list looks at them.
    pub(crate) fn action(&self, action: &str) -> Ruling {
        let server = action.strip_prefix("mcp.").and_then(|rest| rest.split_once('.')).map(|(server, _)| server);
        let asked = Asked {
            action,
            kind: schema::Resource::Tool,
            server: server.is_some(),
            id: server.unwrap_or(action),
            object: action,
            args: cedar_policy_core::ast::Value::empty_record(None),
            argv: &[],
            rule: None,
        };
        self.judged(&asked, &Facts::default())
    }

    fn chat(&self, args: &Value, facts: &Facts) -> Ruling {
        let misfit = |argument: &str, message: &str| {
            let error = ArgError { tool: None, at: Some(format!("/{argument}")), message: message.to_owned() };
            denied(self.decider.misfit(MODEL_CHAT, &error))
        };
        let Some(model) = args.get("model").and_then(Value::as_str) else { return misfit("model", "must be a string") };
        let most = match args.get("max_tokens") {
            None => None,
            Some(most) => match most.as_u64().filter(|most| i64::try_from(*most).is_ok()) {
                Some(most) => Some(most),
                None => return misfit("max_tokens", "must be a whole number"),
            },
        };
        let served = |models: &Vec<String>| models.iter().any(|known| known == "*" || known == model);
        let Some((endpoint, _)) = self.bundle().models.iter().find(|(_, models)| served(models)) else {
            let reason = format!("no [[model]] serves {model}");
            let fix = Fix {
                key: "[[model]] models".to_owned(),
                change: format!("add \"{model}\""),
                file: Some(self.bundle().file.clone()),
                line: None,
            };
            return denied(Denial::of("policy", model.to_owned(), reason, self.digest()).fixed_by(vec![fix]));
        };
        let asked = Asked {
            action: MODEL_CHAT,
            kind: schema::Resource::Model,
            server: false,
            id: model,
            object: model,
            args: chat_args(model, most),
            argv: &[],
            rule: Some(endpoint),
        };
        self.judged(&asked, facts)
    }

    fn host(&self, endpoint: &str, http: Option<&Http>, facts: &Facts) -> Ruling {
        let misfit = |why: String| denied(Denial::of("schema", endpoint.to_owned(), why, self.digest()));
        let to: Endpoint = match endpoint.parse() {
            Ok(to) => to,
            Err(error) => return misfit(format!("not a host and port: {error}")),
        };
        let spoken = match http.map(|http| Ok((http.tls, Method::from_call(&http.method)?))).transpose() {
            Ok(spoken) => spoken,
            Err::<_, crate::host::MethodError>(error) => return misfit(format!("not a method: {error}")),
        };
        let path = match http.map(|http| UrlPath::from_call(&http.path)).transpose() {
            Ok(path) => path,
            Err(error) => return misfit(format!("not a URL path: {error}")),
        };
        let spoken = spoken.as_ref().zip(path.as_ref()).map(|((tls, method), path)| (*tls, method, path));
        self.decider.with_host(&to, spoken, |asked, _| self.judged(asked, facts))
    }

    fn path(&self, sight: &native::Sight, access: crate::attempt::Access) -> Ruling {
        let object = format!("{} {}", access.name(), sight.path);
        let (rules, origin) = match &sight.rule {
            Some((id, origin)) => (vec![id.clone()], Some(origin.clone())),
            None => (Vec::new(), None),
        };
        if sight.allowed {
            let place = origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
            let reason = format!("{}{place}; the file's own mode decides too", sight.reason);
            return Ruling { verdict: Expect::Allow, layer: sight.layer, object, rules, origin, reason, denial: None };
        }
        if let Some(taken) = self.taken_by_ceiling(sight, access) {
            let reason = format!("{} gave it, and the host's ceiling ({}) takes it away", taken.key, taken.ceiling);
            let mut denial = Denial::of(sight.layer, object, reason, self.digest());
            denial.origin = Some(taken.ceiling.clone());
            return denied(denial.fixed_by(vec![Fix {
                key: format!("fs.{}", access.name()),
                change: "have the host's owner widen".to_owned(),
                file: Some(taken.ceiling.file.clone()),
                line: Some(taken.ceiling.line),
            }]));
        }
        let mut denial = Denial::of(sight.layer, object, sight.reason.clone(), self.digest());
        denial.rule = rules.first().cloned();
        denial.origin = origin;
        denied(denial.fixed_by_all(self.path_fixes(sight, access)))
    }

    /// What the policy said of a path before the host's ceiling.
    fn taken_by_ceiling(&self, sight: &native::Sight, access: crate::attempt::Access) -> Option<&Narrowed> {
        use crate::attempt::Access;
        let lists: &[&str] = match access {
            Access::Read => &["fs.read[", "fs.write["],
            Access::Write => &["fs.write["],
            Access::Execute => &["fs.execute["],
        };
        let mut narrowed = self.policy.narrowed.iter();
        narrowed.find(|taken| {
            lists.iter().any(|list| taken.key.contains(list))
                && taken.asked.parse().is_ok_and(|asked| beneath(&native::in_cell(&asked), &sight.path))
        })
    }

    /// What would open a path; nothing if no policy can.
    fn path_fixes(&self, sight: &native::Sight, access: crate::attempt::Access) -> Option<Vec<Fix>> {
        use crate::attempt::Access;
        let file = Some(self.bundle().file.clone());
        if let Some((id, origin)) = &sight.rule {
            let fix = Fix {
                key: id.clone(),
                change: "remove or narrow".to_owned(),
                file: Some(origin.file.clone()),
                line: Some(origin.line),
            };
            return Some(vec![fix]);
        }
        let workspace = sight.path.strip_prefix(native::WORKSPACE).map(|rest| format!("@workspace{rest}"));
        let rule: PathRule = workspace.as_deref().unwrap_or(&sight.path).parse().ok()?;
        let in_workspace = matches!(rule, PathRule::Workspace(_));
        if !in_workspace && (access == Access::Write || crate::text::file::opens_the_machine(&rule).is_some()) {
            return None;
        }
        let add = |list: &str| Fix {
            key: format!("fs.{list}"),
            change: format!("add \"{rule}\", or a directory above it,"),
            file: file.clone(),
            line: None,
        };
        let readable = native::sight(self.policy, &rule.to_string(), Access::Read).is_ok_and(|sight| sight.allowed);
        let mut fixes = Vec::new();
        if access == Access::Execute && !readable {
            fixes.push(add("read"));
        }
        fixes.push(add(access.name()));
        Some(fixes)
    }

    fn syscall(&self, name: &str, args: [u64; 6]) -> Ruling {
        let Some(number) = seccomp::syscall_number(name) else {
            let reason = "there is no syscall of this name on this architecture".to_owned();
            return denied(Denial::of("schema", name.to_owned(), reason, self.digest()));
        };
        let added = self.policy.syscalls.iter().find(|rule| rule.calls.iter().any(|(_, known)| known == name));
        let (rules, origin) = match added {
            Some(rule) => (vec!["syscalls.add".to_owned()], Some(rule.origin.clone())),
            None => (Vec::new(), None),
        };
        let digest = self.digest();
        let Some(profile) = seccomp::profile("cell-native") else {
            return denied(Denial::of("seccomp", name.to_owned(), "there is no profile".to_owned(), digest));
        };
        let action = match profile.with(&self.policy.syscalls).decide(number.into(), args) {
            Ok(action) => action,
            Err(error) => {
                let reason = format!("the filter cannot be run: {error}");
                return denied(Denial::of("seccomp", name.to_owned(), reason, digest));
            }
        };
        let nr = u32::try_from(number).unwrap_or(u32::MAX);
        let reason = match added {
            Some(rule) => format!("syscalls.add {}: {}", does(action), rule.why),
            None => match profile.rules.iter().find(|rule| rule.nr == nr) {
                Some(rule) => format!(
                    "the profile {} {} with these arguments; its rule {}",
                    profile.name,
                    does(action),
                    rule.says
                ),
                None => format!("the profile {} has no rule for it, and so {}", profile.name, does(action)),
            },
        };
        if action == seccomp::Action::Allow {
            let object = name.to_owned();
            return Ruling { verdict: Expect::Allow, layer: "seccomp", object, rules, origin, reason, denial: None };
        }
        let mut denial = Denial::of("seccomp", name.to_owned(), reason, self.digest());
        denial.rule = rules.first().cloned();
        denial.origin.clone_from(&origin);
        // What the profile gives without the policy's word, if that is more.
        let by_profile = profile.decide(number.into(), args).is_ok_and(|action| action == seccomp::Action::Allow);
        let fix = match added {
            Some(rule) if by_profile => Some(Fix {
                key: "[[syscalls.add]]".to_owned(),
                change: "remove".to_owned(),
                file: Some(rule.origin.file.clone()),
                line: Some(rule.origin.line),
            }),
            _ => {
                let addable = seccomp::addable(&profile, nr, SyscallAction::Allow).is_ok();
                addable.then(|| Fix {
                    key: "[[syscalls.add]]".to_owned(),
                    change: format!("add names = [\"{name}\"], action = \"allow\" and why"),
                    file: Some(self.bundle().file.clone()),
                    line: None,
                })
            }
        };
        denied(denial.fixed_by_all(fix.map(|fix| vec![fix])))
    }
}

fn does(action: seccomp::Action) -> &'static str {
    match action {
        seccomp::Action::Allow => "lets it through",
        seccomp::Action::Notify => "has the shim refuse and record it",
        seccomp::Action::Errno(_) => "makes it fail",
        _ => "ends the process",
    }
}

fn denied(denial: Denial) -> Ruling {
    Ruling {
        verdict: Expect::Deny,
        layer: denial.layer,
        object: denial.object.clone(),
        rules: denial.rule.iter().cloned().collect(),
        origin: denial.origin.clone(),
        reason: denial.reason.clone(),
        denial: Some(denial),
    }
}

impl Decider {
    /// The `[[egress]]` entry a connection belongs to: of those that match, the one with the narrowest host, then
    /// the longest path, then the first. None if the host's ceiling does not let it through.
    pub(crate) fn matching_egress(
        &self,
        to: &Endpoint,
        http: Option<(bool, &Method, &UrlPath)>,
    ) -> Option<&EgressRule> {
        if !self.within_ceiling(to, http) {
            return None;
        }
        let tunnels = !self.author_looks_at_requests();
        let mut best: Option<&EgressRule> = None;
        for rule in self.bundle.egress.iter().filter(|rule| covers(rule, to, http, tunnels)) {
            let narrower = best.is_none_or(|other| {
                let hosts = (other.host.covers(&rule.host), rule.host.covers(&other.host));
                hosts == (true, false) || (hosts != (false, true) && longest(rule, http) > longest(other, http))
            });
            if narrower {
                best = Some(rule);
            }
        }
        best
    }

    pub(crate) fn within_ceiling(&self, to: &Endpoint, http: Option<(bool, &Method, &UrlPath)>) -> bool {
        let Some(ceiling) = &self.bundle.ceiling_egress else { return true };
        ceiling.iter().any(|most| {
            most.host.matches(&to.host)
                && (most.ports.is_empty() || most.ports.contains(&to.port))
                && match (&most.methods, http) {
                    (None, _) => true,
                    (Some(methods), Some((_, method, _))) => methods.contains(method),
                    // Of bare bytes no method can be seen.
                    (Some(_), None) => false,
                }
        })
    }
}

/// `tunnels`: TLS that nobody looks into may stand for requests, under an entry that does not tell them apart.
fn covers(rule: &EgressRule, to: &Endpoint, http: Option<(bool, &Method, &UrlPath)>, tunnels: bool) -> bool {
    let spoken = match (rule.scheme, http) {
        (Scheme::Tcp, None) | (Scheme::Https, Some((true, ..))) | (Scheme::Http, Some((false, ..))) => true,
        (Scheme::Https, None) => tunnels && rule.sees_nothing(),
        _ => false,
    };
    let asked = match http {
        Some((_, method, path)) => {
            rule.methods.as_ref().is_none_or(|methods| methods.contains(method))
                && (rule.paths.is_empty() || rule.paths.iter().any(|prefix| prefix.covers(path)))
        }
        None => true,
    };
    spoken && asked && rule.ports.contains(&to.port) && rule.host.matches(&to.host)
}

/// Length of the longest path of the rule that covers the request's.
fn longest(rule: &EgressRule, http: Option<(bool, &Method, &UrlPath)>) -> usize {
    let Some((_, _, path)) = http else { return 0 };
    rule.paths.iter().filter(|prefix| prefix.covers(path)).map(|prefix| prefix.as_str().len()).max().unwrap_or(0)
}
