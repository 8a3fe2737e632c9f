//! The rules about one action, by what they can be found by.

use super::key::{Field, Key};
use super::query::{Place, Record, Resource};
use cedar_policy_core::ast::{EntityUID, Expr, ExprKind, Literal, Value, ValueKind};
use std::collections::HashMap;
use std::sync::Arc;

/// Every entity that stands in a rule, by its id; they are numbered.
#[derive(Debug, Default)]
pub(super) struct Literals {
    by_id: HashMap<String, Vec<(usize, EntityUID)>>,
    count: usize,
    /// Bytes of the longest id.
    longest: usize,
}

impl Literals {
    pub(super) fn add(&mut self, uid: &EntityUID) {
        let id: &str = uid.eid().as_ref();
        let same = self.by_id.entry(id.to_owned()).or_default();
        if !same.iter().any(|(_, known)| known == uid) {
            same.push((self.count, uid.clone()));
            self.count += 1;
            self.longest = self.longest.max(id.len());
        }
    }

    pub(super) fn add_all(&mut self, expr: &Expr) {
        for part in expr.subexpressions() {
            if let ExprKind::Lit(Literal::EntityUID(uid)) = part.expr_kind() {
                self.add(uid);
            }
        }
    }

    fn number(&self, uid: &EntityUID) -> Option<usize> {
        let id: &str = uid.eid().as_ref();
        self.by_id.get(id)?.iter().find(|(_, known)| known == uid).map(|(number, _)| *number)
    }

    /// Where a resource lies, as far as rules can tell: they know of no entity but their literals.
    pub(super) fn place<'a>(&'a self, resource: &Resource<'_>) -> Place<'a> {
        let known = |id: &str| {
            let same = if id.len() > self.longest { None } else { self.by_id.get(id) };
            same?.iter().find(|(_, uid)| uid.entity_type() == resource.kind)
        };
        Place {
            own: resource.uid(),
            here: known(resource.id),
            above: resource.above.iter().filter_map(|id| known(id)).collect(),
        }
    }
}

/// Numbers of rules, as bits.
#[derive(Debug, Default, Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn put(&mut self, number: usize) {
        let word = number / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (number % 64);
        }
    }

    fn take(&mut self, number: usize) {
        if let Some(bits) = self.0.get_mut(number / 64) {
            *bits &= !(1 << (number % 64));
        }
    }

    fn numbers(self) -> impl Iterator<Item = usize> {
        let word = |(at, mut bits): (usize, u64)| {
            std::iter::from_fn(move || {
                let bit = (bits != 0).then_some(bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some(at * 64 + bit)
            })
        };
        self.0.into_iter().enumerate().flat_map(word)
    }
}

/// The rules about one action.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Candidates if nothing is known of the query.
    always: Bits,
    /// By the literal the resource lies in.
    within: HashMap<usize, Vec<usize>>,
    outside: HashMap<usize, Vec<usize>>,
    fields: Vec<ByValue>,
}

/// Rules by the value of one field.
#[derive(Debug)]
struct ByValue {
    field: Field,
    rules: HashMap<Literal, Vec<usize>>,
}

/// What a field of a query is.
enum Found<'a> {
    Value(&'a Value),
    /// All but the last name is there.
    Absent,
    /// The way to it is not what the rule takes it for; Cedar is to say so.
    Broken,
}

impl Bucket {
    pub(super) fn add(&mut self, rule: usize, key: &Key, literals: &Literals) {
        let numbers = |roots: &[Arc<EntityUID>]| -> Vec<usize> {
            roots.iter().filter_map(|root| literals.number(root)).collect()
        };
        match key {
            Key::Always => self.always.put(rule),
            Key::Within(roots) => {
                for root in numbers(roots) {
                    self.within.entry(root).or_default().push(rule);
                }
            }
            Key::Outside(roots) => {
                self.always.put(rule);
                for root in numbers(roots) {
                    self.outside.entry(root).or_default().push(rule);
                }
            }
            Key::Equals(field, value) => {
                let at = self.fields.iter().position(|by| by.field == *field).unwrap_or(self.fields.len());
                if at == self.fields.len() {
                    self.fields.push(ByValue { field: field.clone(), rules: HashMap::new() });
                }
                if let Some(by) = self.fields.get_mut(at) {
                    by.rules.entry(value.clone()).or_default().push(rule);
                }
            }
        }
    }

    /// The rules that could be satisfied or fail, in order.
    pub(super) fn candidates(&self, place: &Place<'_>, context: &Arc<Record>) -> impl Iterator<Item = usize> + use<> {
        let mut found = self.always.clone();
        for number in place.numbers() {
            self.within.get(&number).into_iter().flatten().for_each(|rule| found.put(*rule));
            self.outside.get(&number).into_iter().flatten().for_each(|rule| found.take(*rule));
        }
        for by in &self.fields {
            match lookup(context, &by.field) {
                Found::Value(Value { value: ValueKind::Lit(literal), .. }) => {
                    by.rules.get(literal).into_iter().flatten().for_each(|rule| found.put(*rule));
                }
                // Nothing but a literal equals one.
                Found::Value(_) => {}
                Found::Absent if by.field.guarded => {}
                Found::Absent | Found::Broken => by.rules.values().flatten().for_each(|rule| found.put(*rule)),
            }
        }
        found.numbers()
    }
}

fn lookup<'a>(context: &'a Record, field: &Field) -> Found<'a> {
    let (mut record, mut names) = (context, field.path.iter().peekable());
    while let Some(name) = names.next() {
        match (record.get(name.as_str()), names.peek()) {
            (None, None) => return Found::Absent,
            (Some(value), None) => return Found::Value(value),
            (Some(Value { value: ValueKind::Record(inner), .. }), Some(_)) => record = inner,
            (_, Some(_)) => return Found::Broken,
        }
    }
    Found::Broken
}
