//! Random policies and queries, put to this engine and to Cedar's own authorizer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::code::encode;
use cedar_policy::{Authorizer, Decision, Policy, PolicyId, PolicySet};
use cedar_policy_core::ast::{Context, Eid, Entity, EntityType};
use cedar_policy_core::entities::{NoEntitiesSchema, TCComputation};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const PLACES: [&str; 6] = ["r", "r/a", "r/a/b", "r/c", "r/c/d", "s"];
const NUMBERS: [&str; 5] = ["0", "1", "2", "9223372036854775807", "-5"];
const TEXTS: [&str; 4] = ["\"a\"", "\"b\"", "\"k.pem\"", "\"\""];

fn place(rng: &mut Rng) -> String {
    let kind = if rng.below(12) == 0 { "S" } else { "R" };
    format!("{kind}::\"{}\"", rng.of(&PLACES))
}

fn places(rng: &mut Rng) -> String {
    let list: Vec<String> = (0..rng.below(4)).map(|_| place(rng)).collect();
    format!("[{}]", list.join(", "))
}

fn number(rng: &mut Rng, depth: usize) -> String {
    match rng.below(if depth == 0 { 3 } else { 6 }) {
        0 => rng.of(&NUMBERS).to_owned(),
        1 => "context.args.n".to_owned(),
        2 => "context.m".to_owned(),
        3 => format!("({} + {})", number(rng, depth - 1), number(rng, depth - 1)),
        4 => format!("({} - {})", number(rng, depth - 1), number(rng, depth - 1)),
        _ => format!("{} * {}", rng.of(&["2", "9223372036854775807"]), "context.args.n"),
    }
}

/// Something that may be a boolean, may fail, and is often what the index looks for.
fn condition(rng: &mut Rng, depth: usize) -> String {
    match rng.below(if depth == 0 { 22 } else { 27 }) {
        0 => format!("context.rule == {}", rng.of(&TEXTS)),
        1 => format!("context has rule && context.rule == {}", rng.of(&TEXTS)),
        2 => format!("{} == context.args.x", rng.of(&TEXTS)),
        3 => format!("context.args has x && context.args.x == {}", rng.of(&TEXTS)),
        4 => format!("context.args.n == {}", rng.of(&NUMBERS)),
        5 => format!("resource in {}", place(rng)),
        6 => format!("resource in {}", places(rng)),
        7 => format!("!(resource in {})", places(rng)),
        8 => format!("resource == {}", place(rng)),
        9 => format!("resource != {}", place(rng)),
        10 => format!("context has {}", rng.of(&["rule", "args", "args.x", "m", "zzz"])),
        11 => format!("context.args has {}", rng.of(&["x", "n", "l"])),
        12 => format!("{} < {}", number(rng, 2), number(rng, 1)),
        13 => format!("context.args.x like {}", rng.of(&["\"*.pem\"", "\"*\"", "\"a\"", "\"\\*\""])),
        14 => format!("context.args.l.contains({})", rng.of(&TEXTS)),
        15 => "context.approved".to_owned(),
        16 => format!("context.approved == {}", rng.of(&["true", "false"])),
        17 => rng.of(&["true", "false", "1", "resource", "context.args == {}", "context.args.x"]).to_owned(),
        18 => format!(
            "{} in {}",
            rng.of(&["principal", "action", "resource"]),
            rng.of(&["resource", "principal", "action", "[principal, resource]", "context.args.l"])
        ),
        19 => format!("resource is {}", rng.of(&["R", "S"])),
        20 => format!("context.args.x == {}", rng.of(&["context.rule", "R::\"r\"", "[]", "context.args"])),
        21 => "context.zzz.y == 1".to_owned(),
        22 => format!("({}) && ({})", condition(rng, depth - 1), condition(rng, depth - 1)),
        23 => format!("({}) || ({})", condition(rng, depth - 1), condition(rng, depth - 1)),
        24 => format!("!({})", condition(rng, depth - 1)),
        25 => format!(
            "(if {} then ({}) else ({}))",
            condition(rng, depth - 1),
            condition(rng, depth - 1),
            condition(rng, depth - 1)
        ),
        _ => format!("({}) == ({})", condition(rng, depth - 1), condition(rng, depth - 1)),
    }
}

fn policy(rng: &mut Rng) -> String {
    let effect = rng.of(&["permit", "forbid"]);
    let principal = rng.of(&[
        "principal",
        "principal",
        "principal",
        "principal == P::\"p\"",
        "principal in P::\"q\"",
        "principal is P",
        "principal is R",
    ]);
    let action = rng.of(&[
        "action",
        "action == Action::\"a\"",
        "action == Action::\"b\"",
        "action in [Action::\"a\", Action::\"c\", Action::\"a\"]",
        "action in [Action::\"b\", Action::\"z\"]",
        "action in []",
    ]);
    let resource = match rng.below(6) {
        0 => format!("resource == {}", place(rng)),
        1 => format!("resource in {}", place(rng)),
        2 => format!("resource is R in {}", place(rng)),
        3 => "resource is R".to_owned(),
        _ => "resource".to_owned(),
    };
    let mut text = format!("{effect}({principal}, {action}, {resource})");
    for _ in 0..rng.below(3) {
        let word = rng.of(&["when", "when", "unless"]);
        let conjuncts: Vec<String> = (0..1 + rng.below(3)).map(|_| condition(rng, 2)).collect();
        // A conjunction of its own level, or with parentheses around each.
        let joined = if rng.below(2) == 0 {
            conjuncts.iter().map(|c| format!("({c})")).collect::<Vec<_>>().join(" && ")
        } else {
            format!("({}) && {}", conjuncts[0], conjuncts.last().unwrap())
        };
        text.push_str(&format!(" {word} {{ {joined} }}"));
    }
    text + ";"
}

fn context(rng: &mut Rng) -> Arc<Record> {
    let text = |rng: &mut Rng| Value::from(rng.of(&["a", "b", "k.pem", ""]));
    let long = |rng: &mut Rng| Value::from(rng.of(&NUMBERS).parse::<i64>().unwrap());
    let mut context = Record::new();
    let mut args = Record::new();
    for name in ["x", "n", "l"] {
        let value = match (name, rng.below(8)) {
            (_, 0) => continue,
            ("n", 1..7) | ("x", 1) => long(rng),
            ("l", 1..7) => Value::set([text(rng), text(rng)], None),
            _ => text(rng),
        };
        args.insert(name.into(), value);
    }
    match rng.below(20) {
        0 => {}
        1 => drop(context.insert("args".into(), text(rng))),
        _ => drop(context.insert("args".into(), Value::record_arc(Arc::new(args), None))),
    }
    if rng.below(3) > 0 {
        context.insert("rule".into(), text(rng));
    }
    if rng.below(6) > 0 {
        context.insert("m".into(), long(rng));
    }
    context.insert("approved".into(), Value::from(rng.below(2) == 0));
    Arc::new(context)
}

fn uid(kind: &str, id: &str) -> EntityUID {
    EntityUID::from_components(kind.parse::<EntityType>().unwrap(), Eid::new(id), None)
}

/// What Cedar says: decision, the rules that decide it, and the errors.
fn cedar(
    set: &PolicySet,
    request: &Request,
    entities: &Entities,
) -> (bool, BTreeSet<usize>, BTreeSet<(usize, String)>) {
    let request = cedar_policy::Request::from(request.clone());
    let entities = cedar_policy::Entities::from(entities.clone());
    let response = Authorizer::new().is_authorized(&request, set, &entities);
    let diagnostics = response.diagnostics();
    let errors = diagnostics.errors().map(|error| {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(e) = error;
        (e.policy_id().to_string().parse().unwrap(), e.inner().to_string())
    });
    let reasons = diagnostics.reason().map(|id| id.to_string().parse().unwrap());
    (response.decision() == Decision::Allow, reasons.collect(), errors.collect())
}

#[test]
fn it_says_what_cedar_says() {
    let mut rng = Rng(0x5eed);
    let actions = [uid("Action", "a"), uid("Action", "b"), uid("Action", "c")];
    let principal = uid("P", "p");
    let kinds = [uid("R", "").entity_type().clone(), uid("S", "").entity_type().clone()];
    let (mut allowed, mut forbidden, mut failed, mut asked, mut skipped) = (0, 0, 0, 0, 0);
    for _ in 0..4_000 {
        let texts: Vec<String> = (0..1 + rng.below(12)).map(|_| policy(&mut rng)).collect();
        let (mut all, mut permits) = (PolicySet::new(), PolicySet::new());
        let mut codes = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let policy =
                Policy::parse(Some(PolicyId::new(number.to_string())), text).unwrap_or_else(|e| panic!("{text}\n{e}"));
            codes.push(encode(policy.as_ref()).unwrap());
            all.add(policy.clone()).unwrap();
            if text.starts_with("permit") {
                permits.add(policy).unwrap();
            }
        }
        let engine = Engine::new(codes.iter(), &principal, &actions, &mut Names::default()).unwrap();
        for _ in 0..6 {
            let action = &actions[rng.below(3)];
            let kind = &kinds[usize::from(rng.below(8) == 0)];
            let id = rng.of(&["r", "r/a", "r/a/b", "r/a/b/c/d", "r/c", "r/e", "s", "t"]);
            let above: Vec<&str> = id.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| &id[..at]).collect();
            let context = context(&mut rng);
            let query =
                Query { action, resource: Resource { kind, id, above: &above }, context: &context, costly: None };
            let outcome = engine.evaluate(&query);

            // All of what it lies in, not only what rules name.
            let parents: HashSet<EntityUID> =
                above.iter().map(|id| EntityUID::from_components(kind.clone(), Eid::new(*id), None)).collect();
            let own = query.resource.uid();
            let entity = Entity::new_with_attr_partial_value(own.clone(), [], HashSet::new(), parents, []);
            let entities = Entities::from_entities(
                [entity],
                None::<&NoEntitiesSchema>,
                TCComputation::ComputeNow,
                Extensions::all_available(),
            )
            .unwrap();
            let known = |uid: &EntityUID| EntityUIDEntry::known(uid.clone(), None);
            let request = Request::new_unchecked(
                known(&principal),
                known(action),
                known(&own),
                Some(Context::Value(Arc::clone(&context))),
            );

            let show = || format!("{}\n{action} {own} {context:?}\n{outcome:?}", texts.join("\n"));
            let set = |numbers: &[usize]| numbers.iter().copied().collect::<BTreeSet<_>>();
            let (decision, reasons, errors) = cedar(&all, &request, &entities);
            let (_, permitted, _) = cedar(&permits, &request, &entities);
            assert_eq!(outcome.failures.iter().cloned().collect::<BTreeSet<_>>(), errors, "{}", show());
            assert_eq!(set(&outcome.permits), permitted, "{}", show());
            if outcome.forbids.is_empty() {
                assert_eq!(set(&outcome.permits), reasons, "{}", show());
            } else {
                assert_eq!(set(&outcome.forbids), reasons, "{}", show());
            }
            assert_eq!(decision, !outcome.permits.is_empty() && outcome.forbids.is_empty(), "{}", show());
            assert_eq!(outcome.allowed(), decision && errors.is_empty(), "{}", show());
            if !outcome.asks {
                let mut other = (*context).clone();
                let flipped = context["approved"] != Value::from(true);
                other.insert("approved".into(), Value::from(flipped));
                let other = Arc::new(other);
                let resource = Resource { kind, id, above: &above };
                assert_eq!(
                    engine.evaluate(&Query { action, resource, context: &other, costly: None }),
                    outcome,
                    "{}",
                    show()
                );
            }
            let place = engine.literals.place(&query.resource);
            skipped += texts.len() - engine.buckets[action].candidates(&place, &context).count();
            allowed += usize::from(decision);
            forbidden += usize::from(!outcome.forbids.is_empty());
            failed += usize::from(!errors.is_empty());
            asked += usize::from(outcome.asks);
        }
    }
    // The queries were such as could tell.
    println!("{allowed} allowed, {forbidden} forbidden, {failed} failed, {asked} asked; {skipped} rules left out");
    assert!(allowed > 1_000 && forbidden > 1_000 && failed > 1_000 && asked > 1_000 && skipped > 10_000);
}
