//! What the engine is asked.

use cedar_policy_core::ast::{Context, Eid, Entity, EntityType, EntityUID, EntityUIDEntry, Request, Value};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::pst::SmolStr;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A record's fields.
pub(crate) type Record = BTreeMap<SmolStr, Value>;

/// May this be done?
pub(crate) struct Query<'a> {
    pub action: &'a EntityUID,
    pub resource: Resource<'a>,
    pub context: &'a Arc<Record>,
    pub costly: Option<Costly<'a>>,
}

/// What is only put into a context if a candidate looks at it. No rule may be found by it.
#[derive(Clone, Copy)]
pub(crate) struct Costly<'a> {
    pub name: &'a str,
    /// The context with it.
    pub context: &'a dyn Fn() -> Arc<Record>,
}

/// What it is done to.
#[derive(Debug)]
pub(crate) struct Resource<'a> {
    pub kind: &'a EntityType,
    pub id: &'a str,
    /// Ids of what it lies in, of the same type.
    pub above: &'a [&'a str],
}

impl Resource<'_> {
    pub(super) fn uid(&self) -> EntityUID {
        EntityUID::from_components(self.kind.clone(), Eid::new(self.id), None)
    }
}

/// A resource among the entities that rules know, which have numbers.
pub(super) struct Place<'a> {
    pub own: EntityUID,
    pub here: Option<&'a (usize, EntityUID)>,
    pub above: Vec<&'a (usize, EntityUID)>,
}

impl Place<'_> {
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> {
        self.here.into_iter().chain(self.above.iter().copied()).map(|(number, _)| *number)
    }

    /// The resource with what it lies in; `None` if it lies in nothing.
    pub(super) fn entities(&self) -> Option<Entities> {
        if self.above.is_empty() {
            return None;
        }
        let parents: HashSet<EntityUID> = self.above.iter().map(|(_, uid)| uid.clone()).collect();
        let entity = Entity::new_with_attr_partial_value(self.own.clone(), [], HashSet::new(), parents, []);
        let closed = TCComputation::AssumeAlreadyComputed;
        Entities::from_entities([entity], None::<&NoEntitiesSchema>, closed, Extensions::all_available()).ok()
    }
}

impl Query<'_> {
    /// The query as Cedar takes it; `whole` with what is costly.
    pub(super) fn request(&self, principal: &EntityUIDEntry, place: &Place<'_>, whole: bool) -> Request {
        let known = |uid: &EntityUID| EntityUIDEntry::known(uid.clone(), None);
        let context = match self.costly.filter(|_| whole) {
            Some(costly) => (costly.context)(),
            None => Arc::clone(self.context),
        };
        let context = Context::Value(context);
        Request::new_unchecked(principal.clone(), known(self.action), known(&place.own), Some(context))
    }
}
