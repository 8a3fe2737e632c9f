//! Code → Cedar's syntax tree.

use super::{CodeError, MAX_DEPTH, Op, Uid};
use cedar_policy_core::ast::{BinaryOp, Eid, EntityType, EntityUID, Expr, Pattern, PatternElem, UnaryOp, Var};
use cedar_policy_core::pst::NonEmpty;
use std::collections::HashMap;

/// Types by name: there are few, and many entities of each.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, EntityType>);

impl Names {
    pub(crate) fn kind(&mut self, name: &str) -> Result<EntityType, CodeError> {
        if let Some(kind) = self.0.get(name) {
            return Ok(kind.clone());
        }
        let kind: EntityType = name.parse().map_err(|_| CodeError::Type(name.to_owned()))?;
        self.0.insert(name.to_owned(), kind.clone());
        Ok(kind)
    }

    pub(crate) fn uid(&mut self, uid: &Uid) -> Result<EntityUID, CodeError> {
        Ok(EntityUID::from_components(self.kind(&uid.0)?, Eid::new(uid.1.as_str()), None))
    }
}

/// The expression that `ops` says; no ops say `true`.
pub(crate) fn decode(ops: &[Op], names: &mut Names) -> Result<Expr, CodeError> {
    if ops.is_empty() {
        return Ok(Expr::val(true));
    }
    let mut stack = Stack(Vec::new());
    for op in ops {
        let node = node(op, &mut stack, names)?;
        stack.0.push(node);
    }
    match (stack.0.pop(), stack.0.is_empty()) {
        (Some((expr, _)), true) => Ok(expr),
        _ => Err(CodeError::Shape),
    }
}

/// Expressions and how deep each is.
struct Stack(Vec<(Expr, usize)>);

impl Stack {
    fn pop<const N: usize>(&mut self) -> Result<([Expr; N], usize), CodeError> {
        let (items, depth) = self.take(N)?;
        Ok((items.try_into().map_err(|_| CodeError::Shape)?, depth))
    }

    fn take(&mut self, count: usize) -> Result<(Vec<Expr>, usize), CodeError> {
        let from = self.0.len().checked_sub(count).ok_or(CodeError::Shape)?;
        let mut depth = 0;
        let items = self.0.drain(from..).map(|(expr, d)| {
            depth = depth.max(d);
            expr
        });
        let items = items.collect();
        if depth >= MAX_DEPTH { Err(CodeError::Depth) } else { Ok((items, depth + 1)) }
    }
}

fn node(op: &Op, stack: &mut Stack, names: &mut Names) -> Result<(Expr, usize), CodeError> {
    let leaf = |expr| Ok((expr, 1));
    let one = |stack: &mut Stack, make: &dyn Fn(Expr) -> Expr| {
        let ([a], depth) = stack.pop()?;
        Ok((make(a), depth))
    };
    match op {
        Op::Bool(b) => leaf(Expr::val(*b)),
        Op::Long(n) => leaf(Expr::val(*n)),
        Op::Text(text) => leaf(Expr::val(text.as_str())),
        Op::Entity(uid) => leaf(Expr::val(names.uid(uid)?)),
        Op::Principal => leaf(Expr::var(Var::Principal)),
        Op::Action => leaf(Expr::var(Var::Action)),
        Op::Resource => leaf(Expr::var(Var::Resource)),
        Op::Context => leaf(Expr::var(Var::Context)),
        Op::If => {
            let ([a, b, c], depth) = stack.pop()?;
            Ok((Expr::ite(a, b, c), depth))
        }
        Op::And => {
            let ([a, b], depth) = stack.pop()?;
            Ok((Expr::and(a, b), depth))
        }
        Op::Or => {
            let ([a, b], depth) = stack.pop()?;
            Ok((Expr::or(a, b), depth))
        }
        Op::Not => one(stack, &Expr::not),
        Op::Neg => one(stack, &Expr::neg),
        Op::IsEmpty => one(stack, &|a| Expr::unary_app(UnaryOp::IsEmpty, a)),
        Op::Eq => binary(BinaryOp::Eq, stack),
        Op::Less => binary(BinaryOp::Less, stack),
        Op::LessEq => binary(BinaryOp::LessEq, stack),
        Op::Add => binary(BinaryOp::Add, stack),
        Op::Sub => binary(BinaryOp::Sub, stack),
        Op::Mul => binary(BinaryOp::Mul, stack),
        Op::In => binary(BinaryOp::In, stack),
        Op::Contains => binary(BinaryOp::Contains, stack),
        Op::ContainsAll => binary(BinaryOp::ContainsAll, stack),
        Op::ContainsAny => binary(BinaryOp::ContainsAny, stack),
        Op::GetTag => binary(BinaryOp::GetTag, stack),
        Op::HasTag => binary(BinaryOp::HasTag, stack),
        Op::Get(name) => one(stack, &|a| Expr::get_attr(a, name.as_str().into())),
        Op::Has(name) => one(stack, &|a| Expr::has_attr(a, name.as_str().into())),
        Op::HasPath(path) => {
            let attrs = path.iter().map(|name| name.as_str().into()).collect();
            let attrs = NonEmpty::from_vec(attrs).ok_or(CodeError::Shape)?;
            one(stack, &|a| Expr::extended_has_attr(a, attrs.clone()))
        }
        Op::Like(pieces) => {
            let pattern = pattern(pieces).ok_or(CodeError::Shape)?;
            one(stack, &|a| Expr::like(a, pattern.clone()))
        }
        Op::Is(name) => {
            let kind = names.kind(name)?;
            one(stack, &|a| Expr::is_entity_type(a, kind.clone()))
        }
        Op::Set(count) => {
            let (items, depth) = stack.take(*count)?;
            Ok((Expr::set(items), depth))
        }
        Op::Record(fields) => {
            let (items, depth) = stack.take(fields.len())?;
            let fields = fields.iter().map(|name| name.as_str().into()).zip(items);
            Ok((Expr::record(fields).map_err(|_| CodeError::Shape)?, depth))
        }
    }
}

fn binary(op: BinaryOp, stack: &mut Stack) -> Result<(Expr, usize), CodeError> {
    let ([a, b], depth) = stack.pop()?;
    Ok((Expr::binary_app(op, a, b), depth))
}

/// The pieces with a wildcard between each two.
fn pattern(pieces: &[String]) -> Option<Pattern> {
    let (first, rest) = pieces.split_first()?;
    let mut elements: Vec<PatternElem> = first.chars().map(PatternElem::Char).collect();
    for piece in rest {
        elements.push(PatternElem::Wildcard);
        elements.extend(piece.chars().map(PatternElem::Char));
    }
    Some(elements.into())
}
