//! The one engine: Cedar's own evaluator, asked only about the rules that could matter.
//!
//! An [`index`] that is built when the rules are loaded finds the candidates of a query. A rule it leaves out is
//! one that Cedar would find not satisfied, and without an error; what it found out about a candidate on the way
//! (its principal and action match, its resource lies in a literal set) is not evaluated again. Everything else
//! of a rule is Cedar's to evaluate. Differential tests hold this against Cedar's own authorizer.

mod conjuncts;
mod index;
mod key;
mod query;
#[cfg(test)]
mod tests;
mod uses;

pub(crate) use query::{Costly, Query, Record, Resource};

use crate::code::{Code, CodeError, Names, decode};
use cedar_policy_core::ast::{EntityUID, EntityUIDEntry, Expr, Literal, Request, Value, ValueKind};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use index::{Bucket, Literals};
use std::collections::HashMap;
use uses::Uses;

/// What Cedar said of a query; rules by their number, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Every `permit` that is satisfied.
    pub permits: Vec<usize>,
    /// Every `forbid` that is satisfied.
    pub forbids: Vec<usize>,
    /// Every rule that could not be evaluated, and why.
    pub failures: Vec<(usize, String)>,
    /// Some candidate looks at `context.approved`.
    pub asks: bool,
}

impl Outcome {
    /// Deny wins, and an error denies.
    pub(crate) fn allowed(&self) -> bool {
        !self.permits.is_empty() && self.forbids.is_empty() && self.failures.is_empty()
    }
}

/// What is left of a rule once it is a candidate.
#[derive(Debug)]
struct Rest {
    forbid: bool,
    /// `None` holds.
    condition: Option<Expr>,
    uses: Uses,
    asks: bool,
}

/// Rules, ready to be asked.
#[derive(Debug)]
pub(crate) struct Engine {
    principal: EntityUIDEntry,
    rules: Vec<Rest>,
    literals: Literals,
    buckets: HashMap<EntityUID, Bucket>,
    nobody: Entities,
}

impl Engine {
    /// Rules for queries of one principal about these actions.
    ///
    /// # Errors
    /// The number of the rule whose code is none.
    pub(crate) fn new<'a>(
        rules: impl Iterator<Item = &'a Code>,
        principal: &EntityUID,
        actions: &[EntityUID],
        names: &mut Names,
    ) -> Result<Self, (usize, CodeError)> {
        let mut engine = Self {
            principal: EntityUIDEntry::known(principal.clone(), None),
            rules: Vec::new(),
            literals: Literals::default(),
            buckets: actions.iter().map(|action| (action.clone(), Bucket::default())).collect(),
            nobody: Entities::new(),
        };
        for uid in actions.iter().chain([principal]) {
            engine.literals.add(uid);
        }
        for (number, code) in rules.enumerate() {
            engine.add(number, code, names).map_err(|e| (number, e))?;
        }
        Ok(engine)
    }

    fn add(&mut self, number: usize, code: &Code, names: &mut Names) -> Result<(), CodeError> {
        let principal = decode(&code.principal, names)?;
        let resource = decode(&code.resource, names)?;
        let when = decode(&code.when, names)?;
        let actions = match &code.actions {
            None => None,
            Some(actions) => Some(actions.iter().map(|a| names.uid(a)).collect::<Result<Vec<_>, _>>()?),
        };
        for expr in [&resource, &when] {
            self.literals.add_all(expr);
        }
        let mut uses = Uses::default();
        uses.of(&when);
        let mut conjuncts = Vec::new();
        // The principal is the same in every query: Cedar is asked now, and at a query only if it cannot tell now.
        let applies = match self.is_principal(&principal) {
            Ok(applies) => applies,
            Err(_) => {
                conjuncts.push(principal);
                true
            }
        };
        conjuncts::split(&resource, &mut conjuncts);
        conjuncts::split(&when, &mut conjuncts);
        let keyed = key::choose(conjuncts);
        self.rules.push(Rest {
            forbid: code.forbid,
            condition: conjuncts::join(keyed.rest),
            asks: uses.mention("approved"),
            uses,
        });
        if !applies {
            return Ok(());
        }
        let mut file = |bucket: &mut Bucket| bucket.add(number, &keyed.key, &self.literals);
        match actions {
            None => self.buckets.values_mut().for_each(file),
            // A rule may list an action twice, and a rule's action may be one that no query is about.
            Some(mut actions) => {
                actions.sort();
                actions.dedup();
                actions.iter().for_each(|action| {
                    self.buckets.get_mut(action).map(&mut file);
                });
            }
        }
        Ok(())
    }

    fn is_principal(&self, constraint: &Expr) -> Result<bool, String> {
        let unknown = EntityUIDEntry::unknown;
        let request = Request::new_unchecked(self.principal.clone(), unknown(), unknown(), None);
        holds(&Evaluator::new(request, &self.nobody, Extensions::all_available()), constraint)
    }

    /// A query as Cedar takes it.
    pub(crate) fn cedar_request(&self, query: &Query<'_>) -> (Request, Entities) {
        let place = self.literals.place(&query.resource);
        (query.request(&self.principal, &place, true), place.entities().unwrap_or_default())
    }

    /// Evaluates the rules. Of an action that was not named at the start nothing is permitted.
    pub(crate) fn evaluate(&self, query: &Query<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(bucket) = self.buckets.get(query.action) else { return outcome };
        let place = self.literals.place(&query.resource);
        let found = bucket.candidates(&place, query.context);
        let candidates: Vec<(usize, &Rest)> = found.filter_map(|n| Some((n, self.rules.get(n)?))).collect();
        let whole =
            query.costly.is_some_and(|costly| candidates.iter().any(|(_, rule)| rule.uses.mention(costly.name)));
        let request = query.request(&self.principal, &place, whole);
        let above = place.entities();
        let entities = above.as_ref().unwrap_or(&self.nobody);
        let evaluator = Evaluator::new(request, entities, Extensions::all_available());
        for (number, rule) in candidates {
            outcome.asks |= rule.asks;
            match rule.condition.as_ref().map_or(Ok(true), |condition| holds(&evaluator, condition)) {
                Ok(false) => {}
                Ok(true) if rule.forbid => outcome.forbids.push(number),
                Ok(true) => outcome.permits.push(number),
                Err(why) => outcome.failures.push((number, why)),
            }
        }
        outcome
    }
}

fn holds(evaluator: &Evaluator<'_>, condition: &Expr) -> Result<bool, String> {
    match evaluator.interpret(condition, &HashMap::new()) {
        Ok(Value { value: ValueKind::Lit(Literal::Bool(held)), .. }) => Ok(held),
        Ok(_) => Err("the condition is no boolean".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
