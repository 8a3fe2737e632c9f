//! Cedar policies, their schema, and strict validation: where text becomes rules.

use crate::bundle::Rule;
use crate::code::encode;
use crate::mcp::McpServer;
use crate::schema::{HOUSE, actions, schema_text};
use crate::written;
use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use std::borrow::Cow;

/// Why rules do not make a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The rule at fault, if it is one.
    pub rule: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

impl CompileError {
    pub(crate) fn internal(message: &str) -> Self {
        Self { rule: None, message: message.to_owned() }
    }

    pub(crate) fn of(rule: &str, message: String) -> Self {
        Self { rule: Some(rule.to_owned()), message }
    }
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "rule {}: {}", rule.escape_debug(), self.message),
            None => write!(f, "policy rules: {}", self.message),
        }
    }
}

impl std::error::Error for CompileError {}

/// The schema that policies are validated against, with the tools of these servers.
pub(crate) fn schema(servers: &[McpServer]) -> Result<Schema, CompileError> {
    let text = match servers {
        [] => Cow::Borrowed(HOUSE),
        _ => Cow::Owned(schema_text(&actions().copied().collect::<Vec<_>>(), servers)),
    };
    match Schema::from_cedarschema_str(&text) {
        Ok((schema, _)) => Ok(schema),
        Err(e) => Err(CompileError::internal(&e.to_string())),
    }
}

/// Parses and validates every rule: nothing that is not strictly valid is ever decided with, whoever wrote it.
pub(crate) fn compile(written: Vec<written::Rule>, schema: &Schema) -> Result<Vec<Rule>, CompileError> {
    let mut set = PolicySet::new();
    let mut rules = Vec::with_capacity(written.len());
    for rule in written {
        let of = |e: String| CompileError::of(&rule.id, e);
        let policy = Policy::parse(Some(PolicyId::new(&rule.id)), &rule.cedar).map_err(|e| of(e.to_string()))?;
        let code = encode(policy.as_ref()).map_err(|e| of(e.to_string()))?;
        set.add(policy).map_err(|e| of(e.to_string()))?;
        let written::Rule { id, kind, cedar: _, origin, reason, public, author } = rule;
        rules.push(Rule { id, kind, code, origin, reason, public, author });
    }
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    match result.validation_errors().next() {
        Some(error) => Err(CompileError::of(error.policy_id().as_ref(), error.to_string())),
        None => Ok(rules),
    }
}

/// A Cedar string literal.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}
