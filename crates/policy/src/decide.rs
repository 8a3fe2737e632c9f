//! One decision: arguments → typed call → the engine's answer → verdict.
//!
//! Cedar skips a policy that fails to evaluate, so a failing `forbid` would fail open; here any
//! evaluation error denies.

use crate::bundle::Bundle;
use crate::cedar::CompileError;
use crate::code::Names;
use crate::context::{approved, context, tool_args, with_argv};
use crate::denial::Denial;
use crate::engine::{Costly, Engine, Outcome, Query, Record, Resource};
use crate::facts::Facts;
use crate::mcp::{McpServer, McpTool, check_args, read_tools};
use crate::schema::{self, actions};
use crate::tool::{ArgError, Tool, ToolCall, checked};
use crate::verdict::{Approval, Grant, Question, Verdict, action_hash};
use cedar_policy_core::ast::{self, Eid, EntityType, EntityUID, Value as Cedar};
use cedar_policy_core::entities::Entities;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The tool, as the agent named it.
    pub tool: &'a str,
    /// Its arguments, as the agent gave them.
    pub args: &'a Value,
    /// What is true beside the call.
    pub facts: Facts,
}

/// A loaded policy that decides. Deciding is pure and does not panic.
#[derive(Debug)]
pub struct Decider {
    engine: Engine,
    kinds: Kinds,
    actions: HashMap<String, EntityUID>,
    /// Places in `bundle.exec`, by program.
    commands: HashMap<String, Vec<usize>>,
    pub(crate) servers: Vec<McpServer>,
    pub(crate) bundle: Bundle,
}

#[derive(Debug)]
struct Kinds {
    path: EntityType,
    program: EntityType,
    tool: EntityType,
    host: EntityType,
    model: EntityType,
    server: EntityType,
}

/// An effect that is decided, whatever asks for it.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// Cedar's action: a tool's name, or that of another effect.
    pub action: &'a str,
    /// What it acts on.
    pub kind: schema::Resource,
    /// Of an MCP call: the server is what it acts on.
    pub server: bool,
    /// The id of what it acts on.
    pub id: &'a str,
    /// The object in its one spelling, for records.
    pub object: &'a str,
    pub args: Cedar,
    /// The words of a command, which rules see only if one of them looks.
    pub argv: &'a [String],
    /// The id of the entry of the policy that it matches.
    pub rule: Option<&'a str>,
}

/// What the engine said, once or twice.
#[derive(Debug)]
pub(crate) enum Judged {
    Allowed(Outcome),
    /// Before and after an approval.
    Asks(Outcome, Outcome),
    Denied(Outcome),
}

impl Decider {
    /// Loads a bundle. Its rules were validated when it was made: no text is parsed here, and no schema needed.
    ///
    /// # Errors
    /// [`CompileError`] names the rule.
    pub fn new(bundle: impl Into<Bundle>) -> Result<Self, CompileError> {
        let bundle: Bundle = bundle.into();
        let mut names = Names::default();
        let mut kind = |name: &str| names.kind(name).map_err(|e| CompileError::internal(&e.to_string()));
        let (agent, action) = (kind("Agent")?, kind("Action")?);
        let kinds = Kinds {
            path: kind("Path")?,
            program: kind("Program")?,
            tool: kind("Tool")?,
            host: kind("Host")?,
            model: kind("Model")?,
            server: kind("McpServer")?,
        };
        let servers = bundle.mcp.iter().map(|(name, list)| server(name, list)).collect::<Result<Vec<_>, _>>()?;
        let uid = |kind: &EntityType, id: &str| EntityUID::from_components(kind.clone(), Eid::new(id), None);
        let own = actions().map(|action| action.name.to_owned());
        let theirs = servers.iter().flat_map(|server| server.tools().iter().map(|tool| server.action(tool)));
        let actions: HashMap<String, EntityUID> =
            own.chain(theirs).map(|name| (name.clone(), uid(&action, &name))).collect();
        let all: Vec<EntityUID> = actions.values().cloned().collect();
        let codes = bundle.rules.iter().map(|rule| &rule.code);
        let engine = Engine::new(codes, &uid(&agent, &bundle.policy), &all, &mut names).map_err(|(number, e)| {
            let id = bundle.rules.get(number).map_or("", |rule| rule.id.as_str());
            CompileError::of(id, e.to_string())
        })?;
        let mut commands: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, rule) in bundle.exec.iter().enumerate() {
            if let Some(program) = rule.command.first() {
                commands.entry(program.clone()).or_default().push(at);
            }
        }
        Ok(Self { engine, kinds, actions, commands, servers, bundle })
    }

    /// The bundle it was made of.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Decides one call.
    pub fn decide(&self, request: &Request<'_>) -> Verdict {
        let Some(tool) = Tool::from_name(request.tool) else {
            return match self.served(request.tool) {
                Some((server, tool)) => self.decide_served(server, tool, request),
                None => Verdict::Deny(self.unknown_tool(request.tool)),
            };
        };
        match checked(tool, request.args) {
            Ok(ToolCall::Tools) => Verdict::Allow(self.always(ToolCall::Tools)),
            Ok(call) => self.decide_call(call, tool, request),
            Err(error) => Verdict::Deny(self.misfit(tool.name(), &error)),
        }
    }

    fn decide_served(&self, server: &McpServer, tool: &McpTool, request: &Request<'_>) -> Verdict {
        let action = server.action(tool);
        let args = match check_args(tool, request.args) {
            Ok(args) => args.into_value(),
            Err(error) => {
                let at = (!error.at.is_empty()).then_some(error.at);
                return Verdict::Deny(self.misfit(&action, &ArgError { tool: None, at, message: error.message }));
            }
        };
        let call = ToolCall::Mcp { server: server.name().to_owned(), tool: tool.name().to_owned() };
        let asked = Asked {
            action: &action,
            kind: schema::Resource::Tool,
            server: true,
            id: server.name(),
            object: &action,
            args,
            argv: &[],
            rule: None,
        };
        match self.judge(&asked, &request.facts) {
            Judged::Allowed(outcome) => Verdict::Allow(self.grant(call, None, &outcome)),
            Judged::Asks(before, after) => Verdict::Ask(self.question(call, None, request.args, &before, &after)),
            Judged::Denied(outcome) => Verdict::Deny(self.denial(&asked, &outcome)),
        }
    }

    /// Leave that needs no rule.
    fn always(&self, call: ToolCall) -> Grant {
        let reason = "every agent may ask which tools it has".to_owned();
        Grant { call, rules: Vec::new(), exec: None, reason, policy_digest: self.bundle.digest.clone() }
    }

    /// Turns a question into a grant, if what was approved is what was asked.
    ///
    /// # Errors
    /// The denial it comes to otherwise.
    pub fn approve(&self, question: Question, approval: &Approval) -> Result<Grant, Box<Denial>> {
        if question.grant.policy_digest != self.bundle.digest {
            return Err(Box::new(question.refused("the call was asked about under another policy")));
        }
        if question.hash != approval.hash {
            return Err(Box::new(question.refused("the approval is for another action")));
        }
        Ok(question.grant)
    }

    fn decide_call(&self, call: ToolCall, tool: Tool, request: &Request<'_>) -> Verdict {
        let exec = self.matching_exec(&call);
        let object = call.object();
        let asked = asked(&call, tool, &object, exec.as_deref());
        match self.judge(&asked, &request.facts) {
            Judged::Allowed(outcome) => Verdict::Allow(self.grant(call, exec, &outcome)),
            Judged::Asks(before, after) => Verdict::Ask(self.question(call, exec, request.args, &before, &after)),
            Judged::Denied(outcome) => Verdict::Deny(self.denial(&asked, &outcome)),
        }
    }

    /// Puts an effect to the engine, and again as approved if an approval could turn it.
    pub(crate) fn judge(&self, asked: &Asked<'_>, facts: &Facts) -> Judged {
        let context = context(asked.args.clone(), asked.rule, facts);
        let first = self.ask(asked, &context);
        if first.allowed() {
            return Judged::Allowed(first);
        }
        // Denied as it is, but not if somebody approves: a second look. What cannot be evaluated is not asked about.
        if first.asks && first.failures.is_empty() && !facts.approved {
            let second = self.ask(asked, &approved(&context));
            if second.allowed() {
                return Judged::Asks(first, second);
            }
        }
        Judged::Denied(first)
    }

    fn ask(&self, asked: &Asked<'_>, context: &Arc<Record>) -> Outcome {
        self.with_query(asked, context, |query| self.engine.evaluate(query)).unwrap_or_default()
    }

    /// What is asked as the engine takes it; `None` for an action that nobody knows.
    fn with_query<T>(&self, asked: &Asked<'_>, context: &Arc<Record>, ask: impl FnOnce(&Query<'_>) -> T) -> Option<T> {
        let action = self.actions.get(asked.action)?;
        let (kind, is_path) = match (asked.server, asked.kind) {
            (true, _) => (&self.kinds.server, false),
            (_, schema::Resource::Path) => (&self.kinds.path, true),
            (_, schema::Resource::Program) => (&self.kinds.program, false),
            (_, schema::Resource::Tool) => (&self.kinds.tool, false),
            (_, schema::Resource::Host) => (&self.kinds.host, false),
            (_, schema::Resource::Model) => (&self.kinds.model, false),
        };
        // `@workspace`, `@workspace/a`, … but not the path itself.
        let above: Vec<&str> = match is_path {
            true => asked.id.match_indices('/').filter_map(|(at, _)| asked.id.get(..at)).collect(),
            false => Vec::new(),
        };
        let with_argv = || with_argv(context, asked.argv);
        let costly = (!asked.argv.is_empty()).then_some(Costly { name: "argv", context: &with_argv });
        Some(ask(&Query { action, resource: Resource { kind, id: asked.id, above: &above }, context, costly }))
    }

    /// A call as Cedar takes it.
    pub(crate) fn cedar_request(&self, call: &ToolCall, facts: &Facts) -> Option<(ast::Request, Entities)> {
        let (exec, object) = (self.matching_exec(call), call.object());
        let asked = asked(call, call.tool()?, &object, exec.as_deref());
        let context = context(asked.args.clone(), asked.rule, facts);
        self.with_query(&asked, &context, |query| self.engine.cedar_request(query))
    }

    /// The longest `[[exec]]` command the call begins with; the first of equals.
    fn matching_exec(&self, call: &ToolCall) -> Option<String> {
        let ToolCall::Exec { argv, .. } = call else { return None };
        let rules = self.commands.get(argv.first()?)?.iter().filter_map(|at| self.bundle.exec.get(*at));
        let matching = rules.rev().filter(|rule| rule.matches(argv));
        matching.max_by_key(|rule| rule.command.len()).map(|rule| rule.id.clone())
    }

    fn grant(&self, call: ToolCall, exec: Option<String>, outcome: &Outcome) -> Grant {
        let rules = self.permitting(&call.name(), outcome);
        let reason = format!("allowed by {}", self.describe(&rules));
        Grant { call, rules, exec, reason, policy_digest: self.bundle.digest.clone() }
    }

    /// Ids of the rules that allow an action.
    pub(crate) fn permitting(&self, action: &str, outcome: &Outcome) -> Vec<String> {
        let mut rules = self.ids(&outcome.permits);
        if action == Tool::Exec.name() {
            rules.extend(self.listing(Tool::Exec));
        }
        rules.sort();
        rules.dedup();
        rules
    }

    fn question(
        &self,
        call: ToolCall,
        exec: Option<String>,
        args: &Value,
        before: &Outcome,
        after: &Outcome,
    ) -> Question {
        let rules = self.asking(before, after);
        let hash = action_hash(&self.bundle.digest, &call, args);
        let reason = self.describe(&rules);
        Question { grant: self.grant(call, exec, after), hash, rules, reason }
    }

    /// Ids of the rules whose answer turns on an approval.
    pub(crate) fn asking(&self, before: &Outcome, after: &Outcome) -> Vec<String> {
        let only = |these: &[usize], those: &[usize]| -> Vec<usize> {
            these.iter().copied().filter(|rule| !those.contains(rule)).collect()
        };
        let mut rules = self.ids(&only(&before.forbids, &after.forbids));
        rules.extend(self.ids(&only(&after.permits, &before.permits)));
        rules.sort();
        rules
    }

    fn ids(&self, rules: &[usize]) -> Vec<String> {
        rules.iter().filter_map(|rule| self.bundle.rules.get(*rule)).map(|rule| rule.id.clone()).collect()
    }

    /// Ids of the `tools.allow` entries that list a tool.
    fn listing(&self, tool: Tool) -> Vec<String> {
        let lists = |rule: &&crate::bundle::ListEntry| rule.tool == "*" || rule.tool == tool.name();
        self.bundle.listed.iter().filter(lists).map(|entry| entry.id.clone()).collect()
    }

    /// Rules with their places and reasons.
    pub(crate) fn describe(&self, ids: &[String]) -> String {
        let one = |id: &String| {
            let rule = self.bundle.rules.iter().find(|rule| rule.id == *id);
            let listed = self.bundle.listed.iter().find(|entry| entry.id == *id).map(|entry| &entry.origin);
            let origin = rule.and_then(|r| r.origin.as_ref()).or(listed);
            let mut text = origin.map_or_else(|| id.clone(), |o| format!("{id} ({o})"));
            if let Some(reason) = rule.and_then(|r| r.reason.as_ref()) {
                text.push_str(": ");
                text.push_str(reason);
            }
            text
        };
        ids.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// A call of a built-in tool as it is asked about.
fn asked<'a>(call: &'a ToolCall, tool: Tool, object: &'a str, rule: Option<&'a str>) -> Asked<'a> {
    let argv = match call {
        ToolCall::Exec { argv, .. } => argv.as_slice(),
        _ => &[],
    };
    Asked {
        action: tool.name(),
        kind: schema::action(tool).resource,
        server: false,
        id: argv.first().map_or(object, String::as_str),
        object,
        args: tool_args(call),
        argv,
        rule,
    }
}

fn server(name: &str, list: &str) -> Result<McpServer, CompileError> {
    let fault = |e: crate::mcp::ReadError| CompileError::internal(&format!("tools of {name}: {e}"));
    McpServer::new(name, read_tools(list.as_bytes()).map_err(fault)?.tools).map_err(fault)
}
