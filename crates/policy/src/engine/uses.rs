//! Which names of the context a rule looks at.

use cedar_policy_core::ast::{Expr, ExprKind, Var};

/// Names, or all of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Uses {
    names: Vec<String>,
    /// The context, or a record in it, is used as a value: every name may matter.
    whole: bool,
}

impl Uses {
    /// Adds the names in `expr`. Names are taken without their path: too many are no error, too few would be.
    pub(super) fn of(&mut self, expr: &Expr) {
        // Each expression, and whether a name is taken of it.
        let mut pending = vec![(expr, false)];
        while let Some((expr, named)) = pending.pop() {
            match expr.expr_kind() {
                ExprKind::Var(Var::Context) => self.whole |= !named,
                ExprKind::GetAttr { expr, attr } => {
                    // A record in the context, taken whole.
                    self.whole |= !named && matches!(attr.as_str(), "args" | "now" | "calls");
                    self.names.push(attr.to_string());
                    pending.push((expr, true));
                }
                ExprKind::HasAttr { expr, attr } => {
                    self.names.push(attr.to_string());
                    pending.push((expr, true));
                }
                ExprKind::ExtHasAttr { expr, attrs } => {
                    self.names.extend(attrs.iter().map(ToString::to_string));
                    pending.push((expr, true));
                }
                ExprKind::If { test_expr, then_expr, else_expr } => {
                    pending.extend([
                        (test_expr.as_ref(), false),
                        (then_expr.as_ref(), false),
                        (else_expr.as_ref(), false),
                    ]);
                }
                ExprKind::And { left, right } | ExprKind::Or { left, right } => {
                    pending.extend([(left.as_ref(), false), (right.as_ref(), false)]);
                }
                ExprKind::UnaryApp { arg, .. } => pending.push((arg, false)),
                ExprKind::BinaryApp { arg1, arg2, .. } => {
                    pending.extend([(arg1.as_ref(), false), (arg2.as_ref(), false)]);
                }
                ExprKind::Like { expr, .. } | ExprKind::Is { expr, .. } => pending.push((expr, false)),
                ExprKind::Set(items) => pending.extend(items.iter().map(|item| (item, false))),
                ExprKind::Record(fields) => pending.extend(fields.values().map(|value| (value, false))),
                ExprKind::ExtensionFunctionApp { args, .. } => pending.extend(args.iter().map(|arg| (arg, false))),
                ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => {}
            }
        }
    }

    pub(super) fn mention(&self, name: &str) -> bool {
        self.whole || self.names.iter().any(|known| known == name)
    }
}
