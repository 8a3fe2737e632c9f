//! The one engine: Cedar policies, their schema, and strict validation.

use crate::bundle::Rule;
use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

/// The schema every policy is validated against.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// Why rules do not make a policy set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The rule at fault, if it is one.
    pub rule: Option<String>,
    /// Cedar's account.
    pub message: String,
}

impl CompileError {
    pub(crate) fn internal(message: &str) -> Self {
        Self { rule: None, message: message.to_owned() }
    }

    fn of(rule: &str, message: String) -> Self {
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

pub(crate) fn schema() -> Result<Schema, CompileError> {
    match Schema::from_cedarschema_str(SCHEMA) {
        Ok((schema, _)) => Ok(schema),
        Err(e) => Err(CompileError::internal(&e.to_string())),
    }
}

pub(crate) fn policy_set(rules: &[Rule]) -> Result<PolicySet, CompileError> {
    let mut set = PolicySet::new();
    for rule in rules {
        let of = |e: String| CompileError::of(&rule.id, e);
        let policy = Policy::parse(Some(PolicyId::new(&rule.id)), &rule.cedar).map_err(|e| of(e.to_string()))?;
        set.add(policy).map_err(|e| of(e.to_string()))?;
    }
    Ok(set)
}

pub(crate) fn validate(set: &PolicySet, schema: &Schema) -> Result<(), CompileError> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    match result.validation_errors().next() {
        Some(error) => Err(CompileError::of(error.policy_id().as_ref(), error.to_string())),
        None => Ok(()),
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
