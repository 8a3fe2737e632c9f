//! A condition as the list of what must hold, in the order in which Cedar looks.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp};

/// Adds the conjuncts of `expr`. Cedar evaluates the left side of `&&` first, and the right side only if the
/// left one holds: so the list, left to right up to the first that does not hold, is what Cedar evaluates.
pub(super) fn split(expr: &Expr, out: &mut Vec<Expr>) {
    let mut pending = vec![expr];
    while let Some(expr) = pending.pop() {
        match expr.expr_kind() {
            ExprKind::And { left, right } => pending.extend([right.as_ref(), left.as_ref()]),
            ExprKind::Lit(Literal::Bool(true)) => {}
            _ => out.push(expr.clone()),
        }
    }
}

/// One condition again; `None` if nothing is left to hold.
pub(super) fn join(conjuncts: Vec<Expr>) -> Option<Expr> {
    let joined = conjuncts.into_iter().rev().reduce(|rest, first| Expr::and(first, rest))?;
    // As part of a policy it was an operand of `&&`, which fails on what is no boolean.
    Some(if is_boolean(&joined) { joined } else { Expr::and(Expr::val(true), joined) })
}

/// Whether it gives a boolean or fails.
fn is_boolean(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::BinaryApp { op, .. } => {
            !matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::GetTag)
        }
        ExprKind::UnaryApp { op, .. } => *op != UnaryOp::Neg,
        ExprKind::And { .. } | ExprKind::Or { .. } | ExprKind::Like { .. } | ExprKind::HasAttr { .. } => true,
        _ => false,
    }
}
