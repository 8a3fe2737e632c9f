//! Every effective value and where it comes from, for `policy show`.

use super::{Resolved, ceiling, setting};
use crate::language::{POLICY, Section};
use crate::model::{Origin, Setting, SyscallAction};

/// All of them, in the order of the language.
pub(crate) fn settings(policy: &Resolved) -> Vec<Setting> {
    let mut all = Vec::new();
    limits(policy, &mut all);
    lists(policy, &mut all);
    named(policy, &mut all);
    all
}

fn text(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

fn texts<T: ToString>(values: &[T]) -> String {
    format!("[{}]", values.iter().map(|value| text(&value.to_string())).collect::<Vec<_>>().join(", "))
}

fn limits(policy: &Resolved, all: &mut Vec<Setting>) {
    let section = POLICY.all().into_iter().find(|section: &&Section| section.name == "limits");
    for key in section.map(|section| section.keys).unwrap_or_default() {
        if let (Some(value), Some(place)) = (policy.limits.get(key.name), policy.limit_places.get(key.name)) {
            all.push(setting(format!("limits.{}", key.name), ceiling::show(key.kind, value), place));
        }
    }
    for rate in &policy.rates {
        all.push(setting(&rate.id, rate.value.calls.to_string(), &rate.place));
    }
    for limit in &policy.concurrent {
        all.push(setting(&limit.id, limit.value.most.to_string(), &limit.place));
    }
    for limit in &policy.tool_walls {
        let shown = ceiling::show(crate::language::Kind::Time(0, 0), limit.value.most);
        all.push(setting(&limit.id, shown, &limit.place));
    }
}

fn lists(policy: &Resolved, all: &mut Vec<Setting>) {
    for list in [&policy.read, &policy.write, &policy.execute, &policy.deny] {
        all.extend(list.iter().map(|entry| setting(&entry.id, text(&entry.value.to_string()), &entry.place)));
    }
    for (name, (value, place)) in &policy.env {
        all.push(setting(format!("env.set.{name}"), text(value), place));
    }
    for list in [&policy.env_pass, &policy.allow, &policy.ask, &policy.ask_always, &policy.forbid, &policy.unix] {
        all.extend(list.iter().map(|entry| setting(&entry.id, text(&entry.value), &entry.place)));
    }
    for file in &policy.cedar {
        all.push(setting("tools.cedar", text(&file.value), &file.place));
    }
}

fn named(policy: &Resolved, all: &mut Vec<Setting>) {
    let mut add = |key: String, value: String, origin: &Origin| {
        all.push(Setting { key, value, origin: origin.clone() });
    };
    for (rule, _) in &policy.exec {
        add(format!("exec.{}", rule.id), texts(&rule.command), &rule.origin);
    }
    for rule in &policy.egress {
        let ports = rule.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let methods = rule
            .methods
            .as_ref()
            .map_or_else(|| "*".to_owned(), |m| m.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        let paths = rule.paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let credential = rule.credential.as_ref().map(|name| format!(" with {name}")).unwrap_or_default();
        let spoken = if rule.scheme == crate::model::Scheme::Tcp {
            String::new()
        } else {
            format!(" {methods} {}", if paths.is_empty() { "/" } else { &paths })
        };
        let addresses = rule.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let addresses = if addresses.is_empty() { addresses } else { format!(" at {addresses}") };
        let value = format!("{}://{}:{ports}{addresses}{spoken}{credential}", rule.scheme.name(), rule.host);
        add(format!("egress.{}", rule.id), text(&value), &rule.origin);
    }
    for rule in &policy.mcp {
        add(format!("mcp.{}", rule.name), texts(&rule.command), &rule.origin);
    }
    for rule in &policy.models {
        add(format!("model.{}", rule.name), text(&rule.url), &rule.origin);
    }
    for rule in &policy.secrets {
        add(format!("secret.{}", rule.name), text(&rule.from), &rule.origin);
    }
    for rule in &policy.syscalls {
        let names: Vec<&String> = rule.calls.iter().map(|(_, name)| name).collect();
        let action = match rule.action {
            SyscallAction::Allow => "allow",
            SyscallAction::Deny => "deny",
            SyscallAction::Notify => "notify",
        };
        add(format!("syscalls.add.{action}"), texts(&names), &rule.origin);
    }
    all.extend(policy.private.iter().map(|entry| setting(&entry.id, text(&entry.value), &entry.place)));
    for (key, time) in [("journal.compact", &policy.compact), ("journal.keep", &policy.keep)] {
        if let Some(time) = time {
            all.push(setting(key, ceiling::show(crate::language::Kind::Time(0, 0), time.value), &time.place));
        }
    }
    if let (expires, Some(place)) = &policy.expires {
        all.push(setting("approvals.expires", ceiling::show(crate::language::Kind::Time(0, 0), *expires), place));
    }
}
