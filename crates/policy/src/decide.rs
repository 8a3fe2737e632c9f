//! One decision: arguments → typed call → the engine's answer → verdict.
//!
//! Cedar skips a policy that fails to evaluate, so a failing `forbid` would fail open; here any
//! evaluation error denies.

use crate::bundle::{Bundle, ListEntry};
use crate::cedar::CompileError;
use crate::code::Names;
use crate::context::{approved, context, with_argv};
use crate::denial::Denial;
use crate::engine::{Costly, Engine, Outcome, Query, Record, Resource};
use crate::facts::Facts;
use crate::model::Origin;
use crate::tool::{Tool, ToolCall};
use crate::verdict::{Approval, Grant, Question, Verdict, action_hash};
use cedar_policy_core::ast::{self, Eid, EntityType, EntityUID};
use cedar_policy_core::entities::Entities;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

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
    names: Kinds,
    actions: HashMap<Tool, EntityUID>,
    /// Places in `bundle.exec`, by program.
    commands: HashMap<String, Vec<usize>>,
    /// What is said of each rule, once it was said.
    said: Vec<OnceLock<String>>,
    said_of_listed: Vec<String>,
    pub(crate) bundle: Bundle,
}

#[derive(Debug)]
struct Kinds {
    path: EntityType,
    program: EntityType,
    tool: EntityType,
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
        let kinds = Kinds { path: kind("Path")?, program: kind("Program")?, tool: kind("Tool")? };
        let uid = |kind: &EntityType, id: &str| EntityUID::from_components(kind.clone(), Eid::new(id), None);
        let actions: HashMap<Tool, EntityUID> =
            Tool::ALL.into_iter().map(|tool| (tool, uid(&action, tool.name()))).collect();
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
        let said = bundle.rules.iter().map(|_| OnceLock::new()).collect();
        let said_of_listed = bundle.listed.iter().map(|e| describe(&e.id, Some(&e.origin), None)).collect();
        Ok(Self { engine, names: kinds, actions, commands, said, said_of_listed, bundle })
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
            Ok(call) => self.decide_call(call, request),
            Err(error) => Verdict::Deny(self.misfit(tool, &error)),
        }
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

    fn decide_call(&self, call: ToolCall, request: &Request<'_>) -> Verdict {
        let exec = self.matching_exec(&call);
        let context = context(&call, exec.as_deref(), &request.facts);
        let first = self.ask(&call, &context);
        if first.allowed() {
            return Verdict::Allow(self.grant(call, exec, &first));
        }
        // Denied as it is, but not if somebody approves: a second look. What cannot be evaluated is not asked about.
        if first.asks && first.failures.is_empty() && !request.facts.approved {
            let second = self.ask(&call, &approved(&context));
            if second.allowed() {
                return Verdict::Ask(self.question(call, exec, request.args, &first, &second));
            }
        }
        Verdict::Deny(self.denial(&call, exec.as_deref(), &first))
    }

    /// The longest `[[exec]]` command the call begins with; the first of equals.
    fn matching_exec(&self, call: &ToolCall) -> Option<String> {
        let ToolCall::Exec { argv, .. } = call else { return None };
        let rules = self.commands.get(argv.first()?)?.iter().filter_map(|at| self.bundle.exec.get(*at));
        let matching = rules.rev().filter(|rule| rule.matches(argv));
        matching.max_by_key(|rule| rule.command.len()).map(|rule| rule.id.clone())
    }

    fn ask(&self, call: &ToolCall, context: &Arc<Record>) -> Outcome {
        self.with_query(call, context, |query| self.engine.evaluate(query)).unwrap_or_default()
    }

    /// The call as the engine takes it.
    fn with_query<T>(&self, call: &ToolCall, context: &Arc<Record>, ask: impl FnOnce(&Query<'_>) -> T) -> Option<T> {
        let tool = call.tool();
        let action = self.actions.get(&tool)?;
        // The set of a command's arguments is costly, and few rules look at it.
        let with_argv = || with_argv(context, call);
        let costly = (tool == Tool::Exec).then_some(Costly { name: "argv", context: &with_argv });
        let query = |kind, id, above| Query { action, resource: Resource { kind, id, above }, context, costly };
        Some(match (call, call.path()) {
            (ToolCall::Exec { argv, .. }, _) => {
                ask(&query(&self.names.program, argv.first().map_or("", String::as_str), &[]))
            }
            (_, None) => ask(&query(&self.names.tool, tool.name(), &[])),
            (_, Some(path)) => {
                let id = path.to_string();
                // `@workspace`, `@workspace/a`, … but not the path itself.
                let above: Vec<&str> = id.match_indices('/').filter_map(|(at, _)| id.get(..at)).collect();
                ask(&query(&self.names.path, &id, &above))
            }
        })
    }

    /// The call as Cedar takes it.
    pub(crate) fn cedar_request(&self, call: &ToolCall, facts: &Facts) -> Option<(ast::Request, Entities)> {
        let context = context(call, self.matching_exec(call).as_deref(), facts);
        self.with_query(call, &context, |query| self.engine.cedar_request(query))
    }

    fn grant(&self, call: ToolCall, exec: Option<String>, outcome: &Outcome) -> Grant {
        let mut named = self.named(&outcome.permits);
        if call.tool() == Tool::Exec {
            // An entry's rule permits, but only where `exec` is listed.
            named.extend(self.listing(Tool::Exec));
        }
        let (rules, reason) = in_order(named);
        let reason = format!("allowed by {reason}");
        Grant { call, rules, exec, reason, policy_digest: self.bundle.digest.clone() }
    }

    fn question(
        &self,
        call: ToolCall,
        exec: Option<String>,
        args: &Value,
        before: &Outcome,
        after: &Outcome,
    ) -> Question {
        let only = |these: &[usize], those: &[usize]| -> Vec<usize> {
            these.iter().copied().filter(|rule| !those.contains(rule)).collect()
        };
        let mut named = self.named(&only(&before.forbids, &after.forbids));
        named.extend(self.named(&only(&after.permits, &before.permits)));
        let (rules, reason) = in_order(named);
        let hash = action_hash(&self.bundle.digest, &call, args);
        Question { grant: self.grant(call, exec, after), hash, rules, reason }
    }

    /// Rules by id, each with what is said of it.
    fn named(&self, rules: &[usize]) -> Vec<(&str, &str)> {
        let one = |number: &usize| {
            let rule = self.bundle.rules.get(*number)?;
            let said = self.said.get(*number)?;
            let text = said.get_or_init(|| describe(&rule.id, rule.origin.as_ref(), rule.reason.as_deref()));
            Some((rule.id.as_str(), text.as_str()))
        };
        rules.iter().filter_map(one).collect()
    }

    /// The `tools.allow` entries that list a tool.
    fn listing(&self, tool: Tool) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.bundle.listed.iter().zip(&self.said_of_listed);
        let lists = move |(entry, _): &(&ListEntry, _)| entry.tool == "*" || entry.tool == tool.name();
        entries.filter(lists).map(|(entry, text)| (entry.id.as_str(), text.as_str()))
    }
}

/// Ids in order, and the texts in the same order.
fn in_order(mut named: Vec<(&str, &str)>) -> (Vec<String>, String) {
    named.sort_unstable();
    named.dedup_by_key(|(id, _)| *id);
    let texts: Vec<&str> = named.iter().map(|(_, text)| *text).collect();
    (named.iter().map(|(id, _)| (*id).to_owned()).collect(), texts.join(", "))
}

/// A rule with its place and reason.
fn describe(id: &str, origin: Option<&Origin>, reason: Option<&str>) -> String {
    let mut text = origin.map_or_else(|| id.to_owned(), |o| format!("{id} ({o})"));
    if let Some(reason) = reason {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}
