//! A Cedar policy after parsing and validation, in the form a bundle carries.
//!
//! Conditions are Cedar's own syntax tree in postfix order. So a shim builds the tree again without a parser,
//! without recursion, and at the cost of its nodes: Cedar's JSON format takes longer to read than Cedar's text
//! (4.14), and nests deeper than JSON readers go.

mod decode;
mod encode;

pub(crate) use decode::{Names, decode};
pub(crate) use encode::encode;

use serde::{Deserialize, Serialize};

/// One static policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Whether it forbids; else it permits.
    pub forbid: bool,
    /// The principal's constraint; empty if there is none.
    pub principal: Vec<Op>,
    /// The actions it is about; `None` if it is about all.
    pub actions: Option<Vec<Uid>>,
    /// The resource's constraint; empty if there is none.
    pub resource: Vec<Op>,
    /// The condition; empty if there is none.
    pub when: Vec<Op>,
}

impl Code {
    /// Whether it decides on calls of this action.
    pub(crate) fn is_about(&self, action: &str) -> bool {
        self.actions.as_ref().is_none_or(|actions| actions.iter().any(|uid| uid.1 == action))
    }

    /// Whether it holds of every call of its actions.
    pub(crate) fn is_unconditional(&self) -> bool {
        self.principal.is_empty() && self.resource.is_empty() && self.when.is_empty()
    }
}

/// An entity: its type's name and its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Uid(pub String, pub String);

/// One node of a condition; its operands come before it, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A literal.
    Bool(bool),
    /// A literal.
    Long(i64),
    /// A literal.
    Text(String),
    /// A literal.
    Entity(Uid),
    /// `principal`
    Principal,
    /// `action`
    Action,
    /// `resource`
    Resource,
    /// `context`
    Context,
    /// `if a then b else c`
    If,
    /// `a && b`
    And,
    /// `a || b`
    Or,
    /// `!a`
    Not,
    /// `-a`
    Neg,
    /// `a.isEmpty()`
    IsEmpty,
    /// `a == b`
    Eq,
    /// `a < b`
    Less,
    /// `a <= b`
    LessEq,
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a in b`
    In,
    /// `a.contains(b)`
    Contains,
    /// `a.containsAll(b)`
    ContainsAll,
    /// `a.containsAny(b)`
    ContainsAny,
    /// `a.getTag(b)`
    GetTag,
    /// `a.hasTag(b)`
    HasTag,
    /// `a.name`
    Get(String),
    /// `a has name`
    Has(String),
    /// `a has one.two.three`
    HasPath(Vec<String>),
    /// `a like "…*…"`: what stands between the wildcards, so `*.pem` is `["", ".pem"]`.
    Like(Vec<String>),
    /// `a is Type`
    Is(String),
    /// `[…]` of that many operands.
    Set(usize),
    /// `{…}` with an operand for each name.
    Record(Vec<String>),
}

/// Why code is none, or why a policy cannot be code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeError {
    /// A node has too few operands, or some are left over.
    Shape,
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
    /// Not the name of a type.
    Type(String),
    /// A part of Cedar that is not used here.
    Unsupported(&'static str),
}

/// Nodes within one another; what may be written has fewer.
pub const MAX_DEPTH: usize = 1024;

impl std::fmt::Display for CodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape => f.write_str("its code has too few or too many operands"),
            Self::Depth => write!(f, "its code is nested deeper than {MAX_DEPTH}"),
            Self::Type(name) => write!(f, "\"{}\" is not the name of a type", name.escape_debug()),
            Self::Unsupported(what) => write!(f, "{what} cannot be used here"),
        }
    }
}

impl std::error::Error for CodeError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cedar_policy_core::ast::{Expr, Policy};

    fn tree(ops: &[Op]) -> Result<Expr, CodeError> {
        decode(ops, &mut Names::default())
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for condition in [
            "true",
            "context.a == 1 && context has b && context.b.c like \"*x\\**\"",
            "if principal == A::\"1\" then !(resource in [B::\"2\", B::\"\\\"\"]) else context.n + 1 * -2 - 3 < 4",
            "[1, 2].containsAny([]) || [].containsAll([context.s]) || [[]].contains({\"k\": {}, a: \"\u{1F600}\"})",
            "resource is B && resource is B in B::\"1\" || context has a.b.c",
            "context.s.isEmpty() && resource.hasTag(\"t\") && resource.getTag(\"t\") <= 9223372036854775807",
        ] {
            let text = format!("permit(principal is A, action, resource in B::\"x\") when {{ {condition} }};");
            let policy = cedar_policy::Policy::parse(None, &text).unwrap();
            let policy: &Policy = policy.as_ref();
            let code = encode(policy).unwrap();
            let code: Code = serde_json::from_slice(&serde_json::to_vec(&code).unwrap()).unwrap();
            assert_eq!(Some(&tree(&code.when).unwrap()), policy.non_scope_constraints(), "{condition}");
            assert_eq!(tree(&code.principal).unwrap(), policy.principal_constraint().as_expr());
            assert_eq!(tree(&code.resource).unwrap(), policy.resource_constraint().as_expr());
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert_eq!(tree(&[Op::And]), Err(CodeError::Shape));
        assert_eq!(tree(&[Op::Bool(true), Op::Bool(true)]), Err(CodeError::Shape));
        assert_eq!(tree(&[Op::Set(usize::MAX)]), Err(CodeError::Shape));
        assert_eq!(tree(&[Op::Context, Op::HasPath(Vec::new())]), Err(CodeError::Shape));
        assert_eq!(tree(&[Op::Context, Op::Like(Vec::new())]), Err(CodeError::Shape));
        assert_eq!(tree(&[Op::Context, Op::Is("a b".into())]), Err(CodeError::Type("a b".into())));
        let mut deep = vec![Op::Bool(true)];
        deep.extend(vec![Op::Not; 100_000]);
        assert_eq!(tree(&deep), Err(CodeError::Depth));
        assert!(tree(&[]).is_ok_and(|e| e == Expr::val(true)), "no constraint holds always");
    }
}
