//! The host's ceiling over a policy: it takes away and never gives, and what it took is told.

use super::{Entry, Resolved};

use crate::diagnostic::{Diagnostic, Place};
use crate::extends::Layer;
use crate::host::Host;
use crate::language::{CEILING, Kind};
use crate::model::{CeilingEgress, Narrowed, Origin, SyscallAction, ToolLimit};
use crate::path::PathRule;
use crate::text::Located;
use crate::text::file::{ByTool, CeilingFile};
use crate::text::units;

pub(super) fn narrow(policy: &mut Resolved, ceiling: &CeilingFile, layers: &[Layer], errors: &mut Vec<Diagnostic>) {
    demands(ceiling, layers, errors);
    limits(policy, ceiling);
    let told = &mut policy.narrowed;
    by_tool(&mut policy.concurrent, "concurrent", &ceiling.concurrent, Kind::Counts(0, 0), told);
    by_tool(&mut policy.tool_walls, "tool_wall", &ceiling.tool_walls, Kind::Time(0, 0), told);
    paths(policy, ceiling);
    names(policy, ceiling);
    tools(policy, ceiling);
    models(policy, ceiling);
    policy.ceiling_egress = ceiling.egress.as_ref().map(|rules| {
        let rule = |rule: &crate::text::file::CeilingEgressText| CeilingEgress {
            host: rule.host.value.clone(),
            ports: rule.ports.clone(),
            methods: rule.methods.clone(),
            origin: rule.host.place.origin(),
        };
        rules.iter().map(rule).collect()
    });
}

/// What a policy must bring to run here at all.
fn demands(ceiling: &CeilingFile, layers: &[Layer], errors: &mut Vec<Diagnostic>) {
    let Some(own) = layers.last() else { return };
    let mut demand = |wanted: bool, has: bool, key: &str, what: &str, help: &str| {
        if let Some(place) = ceiling.places.get(key).filter(|_| wanted && !has) {
            errors.push(Diagnostic::at(place, format!("this host runs only policies with {what}")).help(help));
        }
    };
    let sealed = own.file.seal.is_some();
    demand(ceiling.seal, sealed, "require.seal", "a seal", "seal it where it was reviewed: stockade policy seal FILE");
    let tested = !own.file.tests.is_empty();
    demand(ceiling.tests, tested, "require.tests", "tests of their own", "add [[test]] entries to the policy");
}

fn limits(policy: &mut Resolved, ceiling: &CeilingFile) {
    let section = CEILING.all().into_iter().find(|section| section.name == "limits");
    for key in section.map(|section| section.keys).unwrap_or_default() {
        let Some(most) = ceiling.limits.get(key.name) else { continue };
        let Some(asked) = policy.limits.get(key.name) else {
            // An optional one that the policy does not set.
            set(policy, key.name, most.value);
            policy.limit_places.insert(key.name, most.place.clone());
            continue;
        };
        if asked <= most.value {
            continue;
        }
        let origin = policy.limit_places.get(key.name).map_or_else(|| most.place.origin(), Place::origin);
        policy.narrowed.push(Narrowed {
            key: format!("limits.{}", key.name),
            asked: show(key.kind, asked),
            left: show(key.kind, most.value),
            origin,
            ceiling: most.place.origin(),
        });
        set(policy, key.name, most.value);
        policy.limit_places.insert(key.name, most.place.clone());
    }
}

/// Limits by tool: each the smaller one, and the ceiling's where the policy has none.
fn by_tool(list: &mut Vec<Entry<ToolLimit>>, key: &str, most: &ByTool, kind: Kind, told: &mut Vec<Narrowed>) {
    // What `*` of a table of times gives a tool without an entry, and of a table of counts all tools together, a policy's
    // own entry for one tool does not widen: it is held against the ceiling's `*` too.
    let highest = |tool: &str| {
        let named = most.iter().find(|(known, _)| known.value == tool);
        let all = most.iter().find(|(known, _)| known.value == "*");
        named.or(all).map(|(_, most)| most)
    };
    for entry in list.iter_mut() {
        let Some(most) = highest(&entry.value.tool).filter(|most| most.value < entry.value.most) else { continue };
        told.push(Narrowed {
            key: entry.id.clone(),
            asked: show(kind, entry.value.most),
            left: show(kind, most.value),
            origin: entry.place.origin(),
            ceiling: most.place.origin(),
        });
        entry.value.most = most.value;
    }
    for (tool, most) in most {
        if !list.iter().any(|entry| entry.value.tool == tool.value) {
            list.push(Entry {
                id: format!("ceiling.limits.{key}.{}", tool.value),
                value: ToolLimit { tool: tool.value.clone(), most: most.value, origin: most.place.origin() },
                place: most.place.clone(),
            });
        }
    }
}

/// The number of a limit in its unit, as it would be written.
pub(crate) fn show(kind: Kind, value: u64) -> String {
    let unit = match kind {
        Kind::Size(..) => units::SIZE,
        Kind::Rate(..) => units::RATE,
        Kind::Time(..) => units::TIME,
        Kind::Share(..) => units::SHARE,
        _ => return value.to_string(),
    };
    format!("\"{}\"", unit.show(value))
}

fn set(policy: &mut Resolved, key: &str, value: u64) {
    let limits = &mut policy.limits;
    // The ranges of ceiling and policy are the same, so what does not fit cannot be.
    let small = u32::try_from(value).unwrap_or(0);
    match key {
        "memory" => limits.memory = value,
        "cpu" => limits.cpu_millis = small,
        "pids" => limits.pids = small,
        "wall" => limits.wall_ms = value,
        "fuel" => limits.fuel = value,
        "tables" => limits.table_elements = value,
        "output" => limits.output = value,
        "files" => limits.files = small,
        "file_size" => limits.file_size = value,
        "calls" => limits.calls = value,
        "journal" => limits.journal = value,
        "io_read" => limits.io_read = Some(value),
        "io_write" => limits.io_write = Some(value),
        _ => {}
    }
}

/// Cuts a list of trees to what lies in the ceiling's trees.
fn cut(
    list: &mut Vec<Entry<PathRule>>,
    most: Option<&Vec<Located<PathRule>>>,
    at: Option<&Place>,
    told: &mut Vec<Narrowed>,
) {
    let (Some(most), Some(at)) = (most, at) else { return };
    let mut kept = Vec::new();
    for entry in list.drain(..) {
        if most.iter().any(|tree| tree.value.covers(&entry.value)) {
            kept.push(entry);
            continue;
        }
        let within: Vec<&Located<PathRule>> = most.iter().filter(|tree| entry.value.covers(&tree.value)).collect();
        told.push(Narrowed {
            key: entry.id.clone(),
            asked: entry.value.to_string(),
            left: within.iter().map(|tree| tree.value.to_string()).collect::<Vec<_>>().join(", "),
            origin: entry.place.origin(),
            ceiling: at.origin(),
        });
        kept.extend(within.into_iter().map(|tree| Entry { value: tree.value.clone(), ..entry.clone() }));
    }
    *list = kept;
}

fn paths(policy: &mut Resolved, ceiling: &CeilingFile) {
    let at = |key| ceiling.places.get(key);
    let told = &mut policy.narrowed;
    cut(&mut policy.read, ceiling.read.as_ref(), at("fs.read"), told);
    // What may be written may be read: both must be let through.
    cut(&mut policy.write, ceiling.read.as_ref(), at("fs.read"), told);
    cut(&mut policy.write, ceiling.write.as_ref(), at("fs.write"), told);
    cut(&mut policy.execute, ceiling.read.as_ref(), at("fs.read"), told);
    cut(&mut policy.execute, ceiling.execute.as_ref(), at("fs.execute"), told);
    // Whoever may execute may read: what lost its reading loses that too.
    let readable: Vec<PathRule> = policy.read.iter().chain(&policy.write).map(|entry| entry.value.clone()).collect();
    for entry in policy.execute.extract_if(.., |entry| !readable.iter().any(|tree| tree.covers(&entry.value))) {
        let place = at("fs.write").or(at("fs.read")).unwrap_or(&entry.place);
        told.push(gone(&entry, place));
    }
    let denied = ceiling.deny.iter().enumerate().map(|(number, rule)| Entry {
        id: format!("ceiling.fs.deny[{number}]"),
        value: rule.value.clone(),
        place: rule.place.clone(),
    });
    for rule in denied {
        let denied = rule.value.merged();
        for list in [&mut policy.read, &mut policy.write, &mut policy.execute] {
            list.retain(|entry| !denied.covers(&entry.value.merged()));
        }
        match &rule.value {
            // As with a policy's own: beneath what nothing allows there is nothing to hide.
            PathRule::Workspace(_) => {
                let mut lists = policy.read.iter().chain(&policy.write).chain(&policy.execute);
                let above = lists.any(|allowed| allowed.value.covers(&rule.value));
                policy.deny.extend(above.then_some(rule));
            }
            // Landlock cannot carve a hole, so what is above it goes too: the ceiling is not weaker than it says.
            PathRule::Host(_) => {
                for list in [&mut policy.read, &mut policy.execute] {
                    let taken = list.extract_if(.., |entry| entry.value.merged().covers(&denied));
                    told.extend(taken.map(|entry| gone(&entry, &rule.place)));
                }
            }
        }
    }
    policy.workspaces = ceiling
        .workspaces
        .as_ref()
        .zip(at("fs.workspaces"))
        .map(|(folders, place)| (folders.iter().map(|folder| folder.value.to_string()).collect(), place.origin()));
}

/// An entry of which nothing is left.
fn gone(entry: &Entry<PathRule>, ceiling: &Place) -> Narrowed {
    Narrowed {
        key: entry.id.clone(),
        asked: entry.value.to_string(),
        left: String::new(),
        origin: entry.place.origin(),
        ceiling: ceiling.origin(),
    }
}

/// Models at places that the ceiling lets nobody reach.
fn models(policy: &mut Resolved, ceiling: &CeilingFile) {
    let (Some(rules), Some(at)) = (&ceiling.egress, ceiling.places.get("egress")) else { return };
    let reached = |url: &str| {
        let url = url::Url::parse(url).ok()?;
        let (host, port) = (url.host_str()?.parse::<Host>().ok()?, url.port_or_known_default()?);
        Some(rules.iter().any(|rule| {
            rule.host.value.matches(&host)
                && (rule.ports.is_empty() || rule.ports.contains(&port))
                && rule.methods.as_ref().is_none_or(|methods| methods.iter().any(|method| method.as_str() == "POST"))
        }))
    };
    for rule in policy.models.extract_if(.., |rule| reached(&rule.url) != Some(true)) {
        policy.narrowed.push(Narrowed {
            key: format!("model.{}", rule.name),
            asked: rule.url,
            left: String::new(),
            origin: rule.origin,
            ceiling: at.origin(),
        });
    }
}

/// Keeps the entries that the ceiling names.
fn keep<T>(
    list: &mut Vec<T>,
    most: Option<&Vec<Located<String>>>,
    at: Option<&Place>,
    told: &mut Vec<Narrowed>,
    of: impl Fn(&T) -> (String, Vec<String>, Origin),
) {
    let (Some(most), Some(at)) = (most, at) else { return };
    list.retain(|entry| {
        let (key, names, origin) = of(entry);
        let stays = names.iter().all(|name| most.iter().any(|known| known.value == *name));
        if !stays {
            told.push(Narrowed { key, asked: names.join(", "), left: String::new(), origin, ceiling: at.origin() });
        }
        stays
    });
}

fn names(policy: &mut Resolved, ceiling: &CeilingFile) {
    let at = |key| ceiling.places.get(key);
    let told = &mut policy.narrowed;
    let entry = |entry: &Entry<String>| (entry.id.clone(), vec![entry.value.clone()], entry.place.origin());
    keep(&mut policy.env_pass, ceiling.env_pass.as_ref(), at("env.pass"), told, entry);
    keep(&mut policy.unix, ceiling.unix.as_ref(), at("sockets.unix"), told, entry);
    let secrets = ceiling.secrets.as_ref();
    // Without its secret a rule would ask for something else than its author meant: it goes whole.
    keep(&mut policy.secrets, secrets, at("secrets.allow"), told, |secret| {
        (format!("secret.{}", secret.name), vec![secret.name.clone()], secret.origin.clone())
    });
    keep(&mut policy.egress, secrets, at("secrets.allow"), told, |rule| {
        (format!("egress.{}", rule.id), rule.credential.iter().cloned().collect(), rule.origin.clone())
    });
    keep(&mut policy.models, secrets, at("secrets.allow"), told, |rule| {
        (format!("model.{}", rule.name), rule.credential.iter().cloned().collect(), rule.origin.clone())
    });
    keep(&mut policy.syscalls, ceiling.syscalls.as_ref(), at("syscalls.allow"), told, |rule| {
        let names = rule.calls.iter().map(|(_, name)| name.clone());
        let asks = rule.action == SyscallAction::Allow;
        ("syscalls.add".to_owned(), names.filter(|_| asks).collect(), rule.origin.clone())
    });
    if let (Some(most), Some(at)) = (&ceiling.degrade_ok, at("require.degrade_ok")) {
        policy.require.degrade_ok.retain(|layer| {
            let stays = most.iter().any(|known| known.value == *layer);
            if !stays {
                told.push(Narrowed {
                    key: "require.degrade_ok".to_owned(),
                    asked: layer.clone(),
                    left: String::new(),
                    origin: at.origin(),
                    ceiling: at.origin(),
                });
            }
            stays
        });
    }
}

fn tools(policy: &mut Resolved, ceiling: &CeilingFile) {
    let entries = |list: &[Located<String>], key: &str| -> Vec<Entry<String>> {
        let entry = |(number, tool): (usize, &Located<String>)| Entry {
            id: format!("ceiling.tools.{key}[{number}]"),
            value: tool.value.clone(),
            place: tool.place.clone(),
        };
        list.iter().enumerate().map(entry).collect()
    };
    policy.forbid.extend(entries(&ceiling.tools_deny, "deny"));
    policy.ask_always.extend(entries(&ceiling.tools_ask, "ask"));
    policy.ceiling_tools = ceiling
        .tools_allow
        .as_ref()
        .zip(ceiling.places.get("tools.allow"))
        .map(|(tools, place)| (tools.iter().map(|tool| tool.value.clone()).collect(), place.origin()));
}
