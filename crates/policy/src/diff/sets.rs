//! Things that a policy has or has not: more of them is wider, and another one of the same name is too.

use super::{Change, Direction};
use crate::model::{Origin, Policy};
use crate::seccomp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use stockade_plan::AdditionAction;

/// What a policy has, by name: what it is, and where it is written.
type Set = BTreeMap<String, (Value, Option<Origin>)>;

pub(super) fn changes(a: &Policy, b: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    for (layer, key, of) in [
        ("launch", "require.degrade_ok", degrade_ok as fn(&Policy) -> Set),
        ("launch", "env.set", env),
        ("launch", "env.pass", env_pass),
        ("landlock", "sockets.unix", sockets),
        ("shim", "mcp", servers),
        ("shim", "model", models),
        ("shim", "secret", secrets),
        ("shim", "egress credential", credentials),
        ("shim", "egress addresses", addresses),
    ] {
        compare(layer, key, &of(a), &of(b), &mut changes);
    }
    workspaces(a, b, &mut changes);
    syscalls(a, b, &mut changes);
    changes
}

fn compare(layer: &'static str, key: &str, a: &Set, b: &Set, changes: &mut Vec<Change>) {
    let change = |direction, name: &str, what: String, a: Option<&Origin>, b: Option<&Origin>| Change {
        direction,
        layer,
        key: format!("{key} {name}"),
        what,
        a: a.cloned(),
        b: b.cloned(),
    };
    for (name, (value, origin)) in b {
        match a.get(name) {
            None => changes.push(change(Direction::Widened, name, "is new".into(), None, origin.as_ref())),
            Some((old, place)) if old != value => {
                let what = "is another than before, which may allow more".to_owned();
                changes.push(change(Direction::Widened, name, what, place.as_ref(), origin.as_ref()));
            }
            Some(_) => {}
        }
    }
    for (name, (_, origin)) in a.iter().filter(|(name, _)| !b.contains_key(*name)) {
        changes.push(change(Direction::Narrowed, name, "is gone".into(), origin.as_ref(), None));
    }
}

fn degrade_ok(policy: &Policy) -> Set {
    policy.require.degrade_ok.iter().map(|layer| (layer.clone(), (json!(null), None))).collect()
}

fn place(policy: &Policy, key: &str) -> Option<Origin> {
    policy.settings.iter().find(|setting| setting.key == key).map(|setting| setting.origin.clone())
}

fn env(policy: &Policy) -> Set {
    let one =
        |(name, value): &(String, String)| (name.clone(), (json!(value), place(policy, &format!("env.set.{name}"))));
    policy.env.iter().map(one).collect()
}

fn env_pass(policy: &Policy) -> Set {
    policy.env_pass.iter().map(|name| (name.clone(), (json!(null), None))).collect()
}

fn sockets(policy: &Policy) -> Set {
    policy.sockets.iter().map(|rule| (rule.path.clone(), (json!(null), Some(rule.origin.clone())))).collect()
}

fn servers(policy: &Policy) -> Set {
    let one = |rule: &crate::model::McpRule| {
        (rule.name.clone(), (json!([rule.command, rule.policy_digest, rule.pins]), Some(rule.origin.clone())))
    };
    policy.mcp.iter().map(one).collect()
}

/// Which models may be asked for is a decision, and compared as one.
fn models(policy: &Policy) -> Set {
    // The first that serves a model is asked, so the order counts.
    let one = |(at, rule): (usize, &crate::model::ModelRule)| {
        (rule.name.clone(), (json!([at, rule.url, rule.credential, rule.tokens]), Some(rule.origin.clone())))
    };
    policy.models.iter().enumerate().map(one).collect()
}

fn secrets(policy: &Policy) -> Set {
    let one = |rule: &crate::model::SecretRule| {
        let value = json!([rule.from, rule.hosts, rule.paths, rule.header]);
        (rule.name.clone(), (value, Some(rule.origin.clone())))
    };
    policy.secrets.iter().map(one).collect()
}

fn credentials(policy: &Policy) -> Set {
    // Of equals the first is taken, and what no narrower entry takes falls to a wider one: the order counts, and
    // so does every entry without a secret.
    let one = |(at, rule): (usize, &crate::model::EgressRule)| {
        let secret = rule.credential.clone()?;
        let value = json!([at, policy.egress.len(), rule.host, rule.ports, rule.methods, rule.paths]);
        Some((format!("{secret} by {}", rule.id), (value, Some(rule.origin.clone()))))
    };
    policy.egress.iter().enumerate().filter_map(one).collect()
}

/// Networks that hosts may lead to, each for itself: more of them is wider.
fn addresses(policy: &Policy) -> Set {
    let one = |rule: &crate::model::EgressRule| -> Vec<(String, (Value, Option<Origin>))> {
        let value = json!([rule.host, rule.ports, rule.scheme]);
        let named = rule.addresses.iter();
        named.map(|net| (format!("{net} by {}", rule.id), (value.clone(), Some(rule.origin.clone())))).collect()
    };
    policy.egress.iter().flat_map(one).collect()
}

/// Where workspaces may lie: anywhere, if nobody says.
fn workspaces(a: &Policy, b: &Policy, changes: &mut Vec<Change>) {
    let places =
        |policy: &Policy| policy.workspaces.as_ref().map(|(folders, origin)| (folders.clone(), origin.clone()));
    let within = |these: &[String], those: &[String]| {
        these.iter().all(|one| those.iter().any(|other| Path::new(one).starts_with(other)))
    };
    let (of_a, of_b) = (places(a), places(b));
    let (wider, narrower) = match (&of_a, &of_b) {
        (None, None) => return,
        (Some(_), None) => (true, false),
        (None, Some(_)) => (false, true),
        (Some((a, _)), Some((b, _))) => (!within(b, a), !within(a, b)),
    };
    let show = |of: &Option<(Vec<String>, Origin)>| {
        of.as_ref().map_or("anywhere".to_owned(), |(folders, _)| folders.join(", "))
    };
    for (direction, holds) in [(Direction::Widened, wider), (Direction::Narrowed, narrower)] {
        if holds {
            changes.push(Change {
                direction,
                layer: "launch",
                key: "fs.workspaces".to_owned(),
                what: format!("{} became {}", show(&of_a), show(&of_b)),
                a: of_a.as_ref().map(|(_, origin)| origin.clone()),
                b: of_b.as_ref().map(|(_, origin)| origin.clone()),
            });
        }
    }
}

/// Additions are by number, and the profile's own rules by arguments too: a refusal that is gone gives back what
/// the profile lets through with some arguments, whatever it says of others.
fn syscalls(a: &Policy, b: &Policy, changes: &mut Vec<Change>) {
    let Some(profile) = seccomp::profile("cell-native") else { return };
    let (of_a, of_b) = (profile.with(&a.syscalls), profile.with(&b.syscalls));
    let added = |policy: &Policy| -> BTreeMap<u32, AdditionAction> {
        seccomp::additions(&policy.syscalls).into_iter().map(|addition| (addition.nr, addition.action)).collect()
    };
    let (added_a, added_b) = (added(a), added(b));
    for name in seccomp::syscall_names() {
        let Some(number) = seccomp::syscall_number(name) else { continue };
        let Ok(nr) = u32::try_from(number) else { continue };
        let (old, new) = (added_a.get(&nr), added_b.get(&nr));
        if old == new {
            continue;
        }
        let verdict = |filter: &seccomp::Filter| filter.decide(number.into(), [0; 6]).ok();
        let ruled = profile.rules.iter().any(|rule| rule.nr == nr);
        let (old_says, new_says) = (verdict(&of_a), verdict(&of_b));
        let wider = match (old, new) {
            (Some(_), None) if ruled => true,
            (None, Some(_)) if ruled => false,
            _ if old_says == new_says => continue,
            _ => new_says > old_says,
        };
        let origin = |policy: &Policy| {
            let rule = policy.syscalls.iter().find(|rule| rule.calls.iter().any(|(_, known)| known == name));
            rule.map(|rule| rule.origin.clone())
        };
        let said = |added: Option<&AdditionAction>, action: Option<seccomp::Action>| match (added, action) {
            (None, _) if ruled => "what the profile says".to_owned(),
            (_, action) => action.map_or("nothing".to_owned(), |action| format!("{action:?}")),
        };
        changes.push(Change {
            direction: if wider { Direction::Widened } else { Direction::Narrowed },
            layer: "seccomp",
            key: format!("syscall {name}"),
            what: format!("{} became {}", said(old, old_says), said(new, new_says)),
            a: origin(a),
            b: origin(b),
        });
    }
}
