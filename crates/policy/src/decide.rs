//! One decision: arguments → typed call → Cedar request → verdict.
//!
//! Cedar skips a policy that fails to evaluate, so a failing `forbid` would fail open; here any
//! evaluation error denies.

use crate::bundle::{Bundle, Rule, RuleKind};
use crate::cedar::{self, CompileError};
use crate::tool::{ArgError, Tool, ToolCall};
use crate::verdict::{Denial, Grant, Verdict};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet,
    Request as CedarRequest, RestrictedExpression as Expr, Schema,
};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The tool, as the agent named it.
    pub tool: &'a str,
    /// Its arguments, as the agent gave them.
    pub args: &'a Value,
}

/// A loaded policy that decides. Deciding is pure and does not panic.
#[derive(Debug)]
pub struct Decider {
    authorizer: Authorizer,
    policies: PolicySet,
    schema: Schema,
    names: Names,
    rules: HashMap<String, Rule>,
    bundle: Bundle,
}

#[derive(Debug)]
struct Names {
    agent: EntityUid,
    path: EntityTypeName,
    program: EntityTypeName,
    tool: EntityTypeName,
    action: EntityTypeName,
}

/// What Cedar said.
struct Outcome {
    allowed: bool,
    /// Ids of the policies that determined it.
    reasons: Vec<String>,
    /// Why evaluation failed, if it did.
    failure: Option<String>,
}

impl Decider {
    /// Loads a bundle and validates its policies against the schema again.
    ///
    /// # Errors
    /// [`CompileError`] names the rule.
    pub fn new(bundle: &Bundle) -> Result<Self, CompileError> {
        let schema = cedar::schema()?;
        let policies = cedar::policy_set(&bundle.rules)?;
        cedar::validate(&policies, &schema)?;
        let name = |text: &str| text.parse::<EntityTypeName>().map_err(|e| CompileError::internal(&e.to_string()));
        let names = Names {
            agent: EntityUid::from_type_name_and_id(name("Agent")?, EntityId::new(&bundle.policy)),
            path: name("Path")?,
            program: name("Program")?,
            tool: name("Tool")?,
            action: name("Action")?,
        };
        let rules = bundle.rules.iter().map(|r| (r.id.clone(), r.clone())).collect();
        Ok(Self { authorizer: Authorizer::new(), policies, schema, names, rules, bundle: bundle.clone() })
    }

    /// The bundle it was made of.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Decides one call.
    pub fn decide(&self, request: &Request<'_>) -> Verdict {
        let Some(tool) = Tool::from_name(request.tool) else {
            return Verdict::Deny(self.unknown_tool(request.tool));
        };
        match ToolCall::parse(tool, request.args) {
            Ok(call) => self.decide_call(call),
            Err(error) => Verdict::Deny(self.misfit(tool, &error)),
        }
    }

    /// Decides a call that has been parsed.
    pub fn decide_call(&self, call: ToolCall) -> Verdict {
        let exec = self.matching_exec(&call);
        match self.ask(&call, exec.as_deref()) {
            Outcome { allowed: true, mut reasons, failure: None } => {
                if call.tool() == Tool::Exec {
                    reasons.extend(self.listing(Tool::Exec));
                }
                reasons.sort();
                reasons.dedup();
                let reason = self.describe(&reasons);
                let policy_digest = self.bundle.digest.clone();
                Verdict::Allow(Grant { call, rules: reasons, exec, reason, policy_digest })
            }
            outcome => Verdict::Deny(self.denial(&call, outcome)),
        }
    }

    /// The longest `[[exec]]` command the call begins with; the first of equals.
    fn matching_exec(&self, call: &ToolCall) -> Option<String> {
        let ToolCall::Exec { argv, .. } = call else { return None };
        let matching = self.bundle.exec.iter().rev().filter(|rule| rule.matches(argv));
        matching.max_by_key(|rule| rule.command.len()).map(|rule| rule.id.clone())
    }

    fn ask(&self, call: &ToolCall, exec: Option<&str>) -> Outcome {
        let failed = |why: String| Outcome { allowed: false, reasons: Vec::new(), failure: Some(why) };
        let (request, entities) = match self.question(call, exec) {
            Ok(question) => question,
            Err(why) => return failed(why),
        };
        let response = self.authorizer.is_authorized(&request, &self.policies, &entities);
        let diagnostics = response.diagnostics();
        let errors: Vec<String> = diagnostics.errors().map(ToString::to_string).collect();
        if !errors.is_empty() {
            return failed(errors.join("; "));
        }
        let reasons = diagnostics.reason().map(ToString::to_string).collect();
        Outcome { allowed: response.decision() == Decision::Allow, reasons, failure: None }
    }

    fn question(&self, call: &ToolCall, exec: Option<&str>) -> Result<(CedarRequest, Entities), String> {
        let names = &self.names;
        let entity =
            |kind: &EntityTypeName, id: &str| EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
        let action = entity(&names.action, call.tool().name());
        let (resource, entities) = match call {
            ToolCall::Exec { argv, .. } => {
                (entity(&names.program, argv.first().map_or("", String::as_str)), Entities::empty())
            }
            _ => match call.path() {
                None => (entity(&names.tool, call.tool().name()), Entities::empty()),
                Some(path) => {
                    let trees = path.trees().into_iter().map(|tree| entity(&names.path, &tree));
                    let mut parents: HashSet<EntityUid> = trees.collect();
                    let own = entity(&names.path, &path.to_string());
                    parents.remove(&own);
                    let node = Entity::new_no_attrs(own.clone(), parents);
                    (own, Entities::from_entities([node], None).map_err(|e| e.to_string())?)
                }
            },
        };
        let context = context(call, exec)?;
        let request = CedarRequest::new(names.agent.clone(), action, resource, context, Some(&self.schema));
        Ok((request.map_err(|e| e.to_string())?, entities))
    }

    /// Ids of the `tools.allow` entries that list a tool.
    fn listing(&self, tool: Tool) -> Vec<String> {
        let lists = |rule: &&crate::bundle::ListEntry| rule.tool == "*" || rule.tool == tool.name();
        self.bundle.listed.iter().filter(lists).map(|entry| entry.id.clone()).collect()
    }

    fn describe(&self, ids: &[String]) -> String {
        let one = |id: &String| {
            let rule = self.rules.get(id);
            let listed = self.bundle.listed.iter().find(|entry| entry.id == *id).map(|entry| &entry.origin);
            let origin = rule.and_then(|r| r.origin.as_ref()).or(listed);
            let mut text = origin.map_or_else(|| id.clone(), |o| format!("{id} ({o})"));
            if let Some(reason) = rule.and_then(|r| r.reason.as_ref()) {
                text.push_str(": ");
                text.push_str(reason);
            }
            text
        };
        format!("allowed by {}", ids.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    fn refusal(&self, layer: &'static str, object: String, reason: String) -> Denial {
        Denial {
            layer,
            rule: None,
            origin: None,
            agent_reason: reason.clone(),
            reason,
            policy_digest: self.bundle.digest.clone(),
            object,
            fixable: false,
            fix: None,
            public_rule: false,
        }
    }

    fn unknown_tool(&self, name: &str) -> Denial {
        let object: String = name.chars().take(128).collect();
        self.refusal("policy", object, "there is no tool of this name".to_owned())
    }

    fn misfit(&self, tool: Tool, error: &ArgError) -> Denial {
        // The object names the tool already.
        let reason = ArgError { tool: None, ..error.clone() }.to_string();
        self.refusal("schema", tool.name().to_owned(), reason)
    }

    fn denial(&self, call: &ToolCall, outcome: Outcome) -> Denial {
        let tool = call.tool();
        let mut denial = self.refusal("policy", call.object(), String::new());
        denial.fixable = true;
        if let Some(failure) = outcome.failure {
            denial.reason = format!("a rule could not be evaluated, so the call is denied: {failure}");
            "a rule could not be evaluated".clone_into(&mut denial.agent_reason);
            denial.fix = Some("correct the rule".to_owned());
            return denial;
        }
        let mut rules: Vec<&Rule> = outcome.reasons.iter().filter_map(|id| self.rules.get(id)).collect();
        rules.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        match rules.first() {
            Some(rule) if rule.kind == RuleKind::Deny => self.denied_by(&mut denial, rule),
            Some(rule) if self.mentions(tool) => self.missing(&mut denial, call, rule.kind),
            _ => self.missing(&mut denial, call, RuleKind::NotListed),
        }
        denial
    }

    fn denied_by(&self, denial: &mut Denial, rule: &Rule) {
        denial.rule = Some(rule.id.clone());
        denial.origin.clone_from(&rule.origin);
        denial.public_rule = rule.public;
        let why = rule.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        denial.reason = format!("rule {} denies it{why}", rule.id);
        denial.agent_reason = format!("a rule denies it{why}");
        let place = rule.origin.as_ref().map(|o| format!(" at {o}")).unwrap_or_default();
        denial.fix = Some(format!("remove or narrow {}{place}", rule.id));
    }

    /// Whether something the author wrote could allow this tool.
    fn mentions(&self, tool: Tool) -> bool {
        self.bundle.listed.iter().any(|entry| entry.tool == "*" || entry.tool == tool.name())
            || (tool != Tool::Exec && self.bundle.user_permits)
    }

    fn missing(&self, denial: &mut Denial, call: &ToolCall, kind: RuleKind) {
        let name = call.tool().name();
        let file = self.bundle.file.escape_debug().to_string();
        let (reason, agent, fix) = match kind {
            RuleKind::NoPath => {
                let list = if call.tool() == Tool::Write { "fs.write" } else { "fs.read" };
                let reason = format!("no {list} rule covers {}", denial.object.escape_debug());
                (reason.clone(), reason, format!("add it, or a directory above it, to {list} in {file}"))
            }
            RuleKind::NoCommand => (
                "no [[exec]] rule matches this command".to_owned(),
                "no rule matches this command".to_owned(),
                format!("add an [[exec]] entry whose command is its beginning to {file}"),
            ),
            _ => {
                let listed = self.mentions(call.tool());
                let reason = if listed {
                    format!("no rule allows this call of {name}")
                } else {
                    format!("tools.allow does not list {name}")
                };
                (reason, format!("no rule allows {name}"), format!("add \"{name}\" to tools.allow in {file}"))
            }
        };
        (denial.reason, denial.agent_reason, denial.fix) = (reason, agent, Some(fix));
    }
}

/// `context` of a request; see `schema.cedarschema`.
fn context(call: &ToolCall, exec: Option<&str>) -> Result<Context, String> {
    let text = |s: &str| Expr::new_string(s.to_owned());
    let number = |n: u64| Expr::new_long(i64::try_from(n).unwrap_or(i64::MAX));
    let mut args: Vec<(String, Expr)> = Vec::new();
    let mut add = |key: &str, value: Expr| args.push((key.to_owned(), value));
    match call {
        ToolCall::Read { path, offset, length } => {
            add("path", text(path.as_str()));
            add("offset", number(*offset));
            add("length", number(*length));
        }
        ToolCall::Write { path, mode, size } => {
            add("path", text(path.as_str()));
            add("mode", text(mode.name()));
            add("size", number(*size));
        }
        ToolCall::List { path, limit } => {
            add("path", text(path.as_str()));
            add("limit", number(*limit));
        }
        ToolCall::Stat { path } => add("path", text(path.as_str())),
        ToolCall::Clock => {}
        ToolCall::Random { length } => add("length", number(*length)),
        ToolCall::Exec { argv, timeout_ms } => {
            add("argv", Expr::new_set(argv.iter().map(|a| text(a))));
            add("argc", number(argv.len() as u64));
            if let Some(ms) = timeout_ms {
                add("timeout_ms", number(*ms));
            }
        }
    }
    let args = Expr::new_record(args).map_err(|e| e.to_string())?;
    let rule = exec.map(|id| ("rule".to_owned(), text(id)));
    Context::from_pairs([("args".to_owned(), args)].into_iter().chain(rule)).map_err(|e| e.to_string())
}
