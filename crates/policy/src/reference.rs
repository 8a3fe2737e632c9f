//! Cedar's own authorizer on the rules of a bundle: what the engine is held against by tests and benches. It
//! evaluates every rule. Nothing that enforces uses it.

use crate::bundle::Bundle;
use crate::cedar::CompileError;
use crate::code::{Code, CodeError, Names, decode};
use crate::decide::{Decider, Request};
use crate::tool::{Tool, ToolCall};
use cedar_policy_core::ast::{
    ActionConstraint, Annotations, Effect, Expr, PolicyID, PolicySet, PrincipalConstraint, ResourceConstraint,
    StaticPolicy,
};
use cedar_policy_core::authorizer::{Authorizer, Decision};
use cedar_policy_core::entities::Entities;

/// The rules as Cedar keeps them.
#[derive(Debug)]
pub struct Reference {
    decider: Decider,
    policies: PolicySet,
}

/// A call as Cedar takes it.
#[derive(Debug)]
pub struct Prepared {
    request: cedar_policy_core::ast::Request,
    entities: Entities,
}

impl Reference {
    /// Loads a bundle.
    ///
    /// # Errors
    /// [`CompileError`] names the rule.
    pub fn new(bundle: &Bundle) -> Result<Self, CompileError> {
        let mut policies = PolicySet::new();
        let mut names = Names::default();
        for rule in &bundle.rules {
            let of = |e: String| CompileError::of(&rule.id, e);
            let policy = policy(&rule.id, &rule.code, &mut names).map_err(|e| of(e.to_string()))?;
            policies.add_static(policy).map_err(|e| of(e.to_string()))?;
        }
        Ok(Self { decider: Decider::new(bundle)?, policies })
    }

    /// A call's request; `None` if it is no call of a tool.
    #[must_use]
    pub fn prepare(&self, request: &Request<'_>) -> Option<Prepared> {
        let call = ToolCall::parse(Tool::from_name(request.tool)?, request.args).ok()?;
        let (request, entities) = self.decider.cedar_request(&call, &request.facts)?;
        Some(Prepared { request, entities })
    }

    /// What Cedar decides, with the house's rule: an error of any rule denies.
    #[must_use]
    pub fn allows(&self, call: &Prepared) -> bool {
        let response = Authorizer::new().is_authorized(call.request.clone(), &self.policies, &call.entities);
        response.decision == Decision::Allow && response.diagnostics.errors.is_empty()
    }
}

fn policy(id: &str, code: &Code, names: &mut Names) -> Result<StaticPolicy, CodeError> {
    let action = match &code.actions {
        None => ActionConstraint::any(),
        Some(actions) => ActionConstraint::is_in(actions.iter().map(|a| names.uid(a)).collect::<Result<Vec<_>, _>>()?),
    };
    // The constraints of principal and resource come first in the condition, where they are evaluated first too.
    let parts = [&code.principal, &code.resource, &code.when].into_iter().filter(|ops| !ops.is_empty());
    let parts = parts.map(|ops| decode(ops, names)).collect::<Result<Vec<_>, _>>()?;
    let condition = parts.into_iter().rev().reduce(|rest, first| Expr::and(first, rest));
    StaticPolicy::new(
        PolicyID::from_string(id),
        None,
        Annotations::new(),
        if code.forbid { Effect::Forbid } else { Effect::Permit },
        PrincipalConstraint::any(),
        action,
        ResourceConstraint::any(),
        condition,
    )
    .map_err(|_| CodeError::Unsupported("a template's slot"))
}
