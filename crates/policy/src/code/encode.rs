//! Cedar's syntax tree → code.

use super::{Code, CodeError, Op, Uid};
use cedar_policy_core::ast::{
    ActionConstraint, BinaryOp, Effect, EntityUID, Expr, ExprKind, Literal, Pattern, PatternElem, Policy, UnaryOp, Var,
};

/// The code of a static policy. Ids and annotations are not part of it.
pub(crate) fn encode(policy: &Policy) -> Result<Code, CodeError> {
    let actions = match policy.action_constraint() {
        ActionConstraint::Any => None,
        ActionConstraint::Eq(one) => Some(vec![uid(one)]),
        ActionConstraint::In(some) => Some(some.iter().map(|one| uid(one)).collect()),
    };
    let when = policy.non_scope_constraints();
    Ok(Code {
        forbid: policy.effect() == Effect::Forbid,
        principal: ops(&policy.principal_constraint().as_expr())?,
        actions,
        resource: ops(&policy.resource_constraint().as_expr())?,
        when: when.map(ops).transpose()?.unwrap_or_default(),
    })
}

fn uid(uid: &EntityUID) -> Uid {
    let id: &str = uid.eid().as_ref();
    Uid(uid.entity_type().to_string(), id.to_owned())
}

/// Nothing for what holds always.
fn ops(expr: &Expr) -> Result<Vec<Op>, CodeError> {
    let mut out = Vec::new();
    if !matches!(expr.expr_kind(), ExprKind::Lit(Literal::Bool(true))) {
        push(expr, &mut out)?;
    }
    Ok(out)
}

fn push(expr: &Expr, out: &mut Vec<Op>) -> Result<(), CodeError> {
    let op = match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(b)) => Op::Bool(*b),
        ExprKind::Lit(Literal::Long(n)) => Op::Long(*n),
        ExprKind::Lit(Literal::String(s)) => Op::Text(s.to_string()),
        ExprKind::Lit(Literal::EntityUID(one)) => Op::Entity(uid(one)),
        ExprKind::Var(Var::Principal) => Op::Principal,
        ExprKind::Var(Var::Action) => Op::Action,
        ExprKind::Var(Var::Resource) => Op::Resource,
        ExprKind::Var(Var::Context) => Op::Context,
        ExprKind::If { test_expr, then_expr, else_expr } => {
            push(test_expr, out)?;
            push(then_expr, out)?;
            push(else_expr, out)?;
            Op::If
        }
        ExprKind::And { left, right } => {
            push(left, out)?;
            push(right, out)?;
            Op::And
        }
        ExprKind::Or { left, right } => {
            push(left, out)?;
            push(right, out)?;
            Op::Or
        }
        ExprKind::UnaryApp { op, arg } => {
            push(arg, out)?;
            match op {
                UnaryOp::Not => Op::Not,
                UnaryOp::Neg => Op::Neg,
                UnaryOp::IsEmpty => Op::IsEmpty,
            }
        }
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            push(arg1, out)?;
            push(arg2, out)?;
            binary(*op)
        }
        ExprKind::GetAttr { expr, attr } => {
            push(expr, out)?;
            Op::Get(attr.to_string())
        }
        ExprKind::HasAttr { expr, attr } => {
            push(expr, out)?;
            Op::Has(attr.to_string())
        }
        ExprKind::ExtHasAttr { expr, attrs } => {
            push(expr, out)?;
            Op::HasPath(attrs.iter().map(ToString::to_string).collect())
        }
        ExprKind::Like { expr, pattern } => {
            push(expr, out)?;
            Op::Like(pieces(pattern))
        }
        ExprKind::Is { expr, entity_type } => {
            push(expr, out)?;
            Op::Is(entity_type.to_string())
        }
        ExprKind::Set(items) => {
            items.iter().try_for_each(|item| push(item, out))?;
            Op::Set(items.len())
        }
        ExprKind::Record(fields) => {
            fields.values().try_for_each(|value| push(value, out))?;
            Op::Record(fields.keys().map(ToString::to_string).collect())
        }
        ExprKind::Slot(_) => return Err(CodeError::Unsupported("a template's slot")),
        ExprKind::Unknown(_) => return Err(CodeError::Unsupported("an unknown")),
        ExprKind::ExtensionFunctionApp { .. } => return Err(CodeError::Unsupported("an extension function")),
    };
    out.push(op);
    Ok(())
}

fn binary(op: BinaryOp) -> Op {
    match op {
        BinaryOp::Eq => Op::Eq,
        BinaryOp::Less => Op::Less,
        BinaryOp::LessEq => Op::LessEq,
        BinaryOp::Add => Op::Add,
        BinaryOp::Sub => Op::Sub,
        BinaryOp::Mul => Op::Mul,
        BinaryOp::In => Op::In,
        BinaryOp::Contains => Op::Contains,
        BinaryOp::ContainsAll => Op::ContainsAll,
        BinaryOp::ContainsAny => Op::ContainsAny,
        BinaryOp::GetTag => Op::GetTag,
        BinaryOp::HasTag => Op::HasTag,
    }
}

fn pieces(pattern: &Pattern) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for element in pattern.iter() {
        match element {
            PatternElem::Char(c) => piece.push(*c),
            PatternElem::Wildcard => pieces.push(std::mem::take(&mut piece)),
        }
    }
    pieces.push(piece);
    pieces
}
