//! What a rule can be found by: one conjunct that must hold, and that nothing before it can make fail.
//!
//! A rule whose key does not hold is not evaluated. That is Cedar's answer only if Cedar would have come as far
//! as the key, or have stopped before it without an error. So a key is taken from the first conjuncts, as far as
//! they cannot fail: [`harmless`] says which those are.

use cedar_policy_core::ast::{BinaryOp, EntityUID, Expr, ExprKind, Literal, UnaryOp, Var};
use std::sync::Arc;

/// Where a rule is filed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    /// It is a candidate always.
    Always,
    /// If the resource is one of these or lies in one.
    Within(Vec<Arc<EntityUID>>),
    /// Unless the resource is one of these or lies in one.
    Outside(Vec<Arc<EntityUID>>),
    /// If the context has this literal there.
    Equals(Field, Literal),
}

/// `context.a` or `context.a.b`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Field {
    pub path: Vec<String>,
    /// The rule asks first whether the last name is there: without it the rule does not hold, and does not fail.
    pub guarded: bool,
}

/// A key, and what is left to evaluate of the rule when it holds.
pub(super) struct Keyed {
    pub key: Key,
    pub rest: Vec<Expr>,
}

pub(super) fn choose(mut conjuncts: Vec<Expr>) -> Keyed {
    let mut best: Option<(usize, Key)> = None;
    for (at, conjunct) in conjuncts.iter().enumerate() {
        let guard = at.checked_sub(1).and_then(|before| conjuncts.get(before));
        let key = tree(conjunct).or_else(|| equality(conjunct, guard));
        if let Some(key) = key
            && best.as_ref().is_none_or(|(_, old)| rank(&key) > rank(old))
        {
            best = Some((at, key));
        }
        // The first conjunct of a field that is not always there is the last that can be a key, or guard one.
        let guards = conjuncts.get(at + 1).is_some_and(|next| equality(next, Some(conjunct)).is_some_and(is_guarded));
        if !harmless(conjunct) && !guards {
            break;
        }
    }
    let Some((at, key)) = best else { return Keyed { key: Key::Always, rest: conjuncts } };
    // The index decides these whole; a field's value is left for Cedar to compare.
    if matches!(key, Key::Within(_) | Key::Outside(_)) && !is_equality(conjuncts.get(at)) {
        conjuncts.remove(at);
    }
    Keyed { key, rest: conjuncts }
}

/// How many rules a key is likely to leave out.
fn rank(key: &Key) -> u8 {
    match key {
        Key::Always => 0,
        Key::Outside(_) => 1,
        Key::Within(_) => 2,
        Key::Equals(..) => 3,
    }
}

/// Whether evaluation gives true or false, whatever the query.
fn harmless(conjunct: &Expr) -> bool {
    match conjunct.expr_kind() {
        ExprKind::HasAttr { expr, .. } => matches!(expr.expr_kind(), ExprKind::Var(Var::Context)),
        ExprKind::Is { expr, .. } => matches!(expr.expr_kind(), ExprKind::Var(_)),
        ExprKind::Lit(Literal::Bool(_)) => true,
        _ => tree(conjunct).is_some(),
    }
}

fn is_guarded(key: Key) -> bool {
    matches!(key, Key::Equals(Field { guarded: true, .. }, _))
}

fn is_equality(conjunct: Option<&Expr>) -> bool {
    matches!(conjunct.map(Expr::expr_kind), Some(ExprKind::BinaryApp { op: BinaryOp::Eq, .. }))
}

/// `resource == E`, `resource in E`, `resource in [E, …]`, or `!` of the last two.
fn tree(conjunct: &Expr) -> Option<Key> {
    match conjunct.expr_kind() {
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } if !is_equality(Some(arg)) => match tree(arg)? {
            Key::Within(roots) => Some(Key::Outside(roots)),
            _ => None,
        },
        ExprKind::BinaryApp { op: BinaryOp::Eq | BinaryOp::In, arg1, arg2 }
            if matches!(arg1.expr_kind(), ExprKind::Var(Var::Resource)) =>
        {
            match arg2.expr_kind() {
                ExprKind::Lit(Literal::EntityUID(root)) => Some(Key::Within(vec![Arc::clone(root)])),
                ExprKind::Set(items) if !is_equality(Some(conjunct)) => {
                    let root = |item: &Expr| match item.expr_kind() {
                        ExprKind::Lit(Literal::EntityUID(root)) => Some(Arc::clone(root)),
                        _ => None,
                    };
                    items.iter().map(root).collect::<Option<_>>().map(Key::Within)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// `context.a.b == literal`, in either order; `guard` is the conjunct before it.
fn equality(conjunct: &Expr, guard: Option<&Expr>) -> Option<Key> {
    let ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } = conjunct.expr_kind() else { return None };
    let (field, literal) = match (arg1.expr_kind(), arg2.expr_kind()) {
        (_, ExprKind::Lit(literal)) => (arg1, literal),
        (ExprKind::Lit(literal), _) => (arg2, literal),
        _ => return None,
    };
    let path = path(field)?;
    // The two passes of an approval have the same candidates.
    if path.first().is_some_and(|name| name == "approved") {
        return None;
    }
    let guarded = match guard.map(Expr::expr_kind) {
        Some(ExprKind::HasAttr { expr, attr }) => path.split_last().is_some_and(|(name, above)| {
            *name == attr.as_str()
                && (matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) && above.is_empty()
                    || self::path(expr).is_some_and(|p| p == above))
        }),
        _ => false,
    };
    Some(Key::Equals(Field { path, guarded }, literal.clone()))
}

/// `context.a` or `context.a.b`, as names.
fn path(expr: &Expr) -> Option<Vec<String>> {
    let ExprKind::GetAttr { expr, attr } = expr.expr_kind() else { return None };
    if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) {
        return Some(vec![attr.to_string()]);
    }
    let mut above = path(expr)?;
    above.push(attr.to_string());
    (above.len() == 2).then_some(above)
}
