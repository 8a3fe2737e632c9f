//! Entries with names: each name once, and each name that is used known.

use super::{Entry, Resolved};
use crate::diagnostic::Diagnostic;
use crate::extends::Layer;
use crate::host::{HostPattern, UrlPath};
use crate::model::{EgressRule, ExecRule, ModelRule, RateRule, SecretRule, SyscallAction, SyscallRule, ToolLimit};
use crate::seccomp;
use crate::text::file::{ByTool, EgressText, ExecText, PolicyFile};
use crate::text::{Located, suggestion};
use crate::tool::Tool;

pub(super) fn exec(layers: &[Layer], errors: &mut Vec<Diagnostic>) -> Vec<(ExecRule, Option<String>)> {
    let mut rules: Vec<(ExecRule, Option<String>)> = Vec::new();
    for ExecText { id, command, wall_ms, policy: _, reason, place } in layers.iter().flat_map(|l| &l.file.exec) {
        let twin = rules.iter().find(|(r, _)| r.id == id.value || r.command == *command);
        if let Some((twin, _)) = twin {
            let what = if twin.id == id.value { "id" } else { "command" };
            let message = format!("the {what} of [[exec]] \"{}\" is taken by the entry at {}", id.value, twin.origin);
            errors.push(
                Diagnostic::at(&id.place, message).help(format!("give it another {what}, or remove one of them")),
            );
            continue;
        }
        let rule =
            ExecRule { id: id.value.clone(), command: command.clone(), wall_ms: *wall_ms, origin: place.origin() };
        rules.push((rule, reason.clone()));
    }
    rules
}

fn taken<T>(
    rules: &[T],
    name: &Located<String>,
    kind: &str,
    of: impl Fn(&T) -> (&str, String),
    errors: &mut Vec<Diagnostic>,
) -> bool {
    let Some((_, origin)) = rules.iter().map(of).find(|(known, _)| *known == name.value) else { return false };
    let message = format!("the name of {kind} \"{}\" is taken by the entry at {origin}", name.value);
    errors.push(Diagnostic::at(&name.place, message).help("give it another name, or remove one of them"));
    true
}

pub(super) fn secrets(layers: &[Layer], errors: &mut Vec<Diagnostic>) -> Vec<SecretRule> {
    let mut rules: Vec<SecretRule> = Vec::new();
    for text in layers.iter().flat_map(|l| &l.file.secrets) {
        if !taken(&rules, &text.name, "[[secret]]", |r| (&r.name, r.origin.to_string()), errors) {
            rules.push(SecretRule {
                name: text.name.value.clone(),
                from: text.from.clone(),
                hosts: text.hosts.clone(),
                paths: text.paths.clone(),
                header: text.header.clone(),
                origin: text.place.origin(),
            });
        }
    }
    rules
}

pub(super) fn egress(layers: &[Layer], secrets: &[SecretRule], errors: &mut Vec<Diagnostic>) -> Vec<EgressRule> {
    let mut rules: Vec<EgressRule> = Vec::new();
    for text in layers.iter().flat_map(|l| &l.file.egress) {
        if taken(&rules, &text.id, "[[egress]]", |r| (&r.id, r.origin.to_string()), errors) {
            continue;
        }
        if let Some(credential) = &text.credential {
            binding(text, credential, secrets, errors);
        }
        rules.push(EgressRule {
            id: text.id.value.clone(),
            host: text.host.value.clone(),
            scheme: text.scheme,
            ports: text.ports.clone(),
            methods: text.methods.clone(),
            paths: text.paths.clone(),
            addresses: text.addresses.clone(),
            credential: text.credential.as_ref().map(|c| c.value.clone()),
            reason: text.reason.clone(),
            origin: text.place.origin(),
        });
    }
    rules
}

fn secret<'s>(
    name: &Located<String>,
    secrets: &'s [SecretRule],
    errors: &mut Vec<Diagnostic>,
) -> Option<&'s SecretRule> {
    let found = secrets.iter().find(|secret| secret.name == name.value);
    if found.is_none() {
        let names = secrets.iter().map(|secret| secret.name.as_str());
        let help = match suggestion(&name.value, names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add a [[secret]] with name = \"{}\"", name.value),
        };
        errors.push(Diagnostic::at(&name.place, format!("there is no secret \"{}\"", name.value)).help(help));
    }
    found
}

/// A rule must not send a secret where the secret may not go.
fn binding(text: &EgressText, credential: &Located<String>, secrets: &[SecretRule], errors: &mut Vec<Diagnostic>) {
    let Some(secret) = secret(credential, secrets, errors) else { return };
    let bound = secret.hosts.iter().any(|pattern| pattern.covers(&text.host.value));
    let within = |path: &UrlPath| secret.paths.iter().any(|bound| bound.covers(path));
    let paths = secret.paths.is_empty() || (!text.paths.is_empty() && text.paths.iter().all(within));
    if !bound || !paths {
        let what = if bound { "every path that it allows" } else { "every host that it allows" };
        let message = format!(
            "[[egress]] \"{}\" cannot send \"{}\" to {what}: the secret is bound more narrowly at {}",
            text.id.value, credential.value, secret.origin
        );
        errors.push(
            Diagnostic::at(&credential.place, message).help("narrow the rule, or widen the secret's hosts or paths"),
        );
    }
    if text.scheme != crate::model::Scheme::Https {
        let message = format!("[[egress]] \"{}\" would send \"{}\" in the clear", text.id.value, credential.value);
        errors.push(
            Diagnostic::at(&credential.place, message).help("secrets go over verified TLS only: scheme = \"https\""),
        );
    }
}

pub(super) fn models(layers: &[Layer], secrets: &[SecretRule], errors: &mut Vec<Diagnostic>) -> Vec<ModelRule> {
    let mut rules: Vec<ModelRule> = Vec::new();
    for text in layers.iter().flat_map(|l| &l.file.models) {
        if taken(&rules, &text.name, "[[model]]", |r| (&r.name, r.origin.to_string()), errors) {
            continue;
        }
        if let Some(credential) = &text.credential
            && let Some(secret) = secret(credential, secrets, errors)
            && !secret.hosts.iter().any(|pattern: &HostPattern| pattern.matches(&text.host))
        {
            let message = format!("\"{}\" is not bound to {} (see {})", credential.value, text.host, secret.origin);
            errors.push(Diagnostic::at(&credential.place, message).help("add the host to the secret's hosts"));
        }
        rules.push(ModelRule {
            name: text.name.value.clone(),
            url: text.url.clone(),
            models: text.models.clone(),
            credential: text.credential.as_ref().map(|c| c.value.clone()),
            tokens: text.tokens,
            origin: text.place.origin(),
        });
    }
    rules
}

/// Later files replace the number of a tool.
pub(super) fn rates(layers: &[Layer]) -> Vec<Entry<RateRule>> {
    let rate = |Entry { id, value, place }: Entry<ToolLimit>| {
        let ToolLimit { tool, most: calls, origin } = value;
        Entry { id, value: RateRule { tool, calls, origin }, place }
    };
    by_tool(layers, "calls_per_minute", |file| &file.rates).into_iter().map(rate).collect()
}

/// The same of any table of `[limits]` by tool.
pub(super) fn by_tool(layers: &[Layer], key: &str, of: impl Fn(&PolicyFile) -> &ByTool) -> Vec<Entry<ToolLimit>> {
    let mut limits: Vec<Entry<ToolLimit>> = Vec::new();
    for layer in layers {
        for (tool, most) in of(&layer.file) {
            limits.retain(|limit| limit.value.tool != tool.value);
            limits.push(Entry {
                id: format!("{}limits.{key}.{}", layer.prefix, tool.value),
                value: ToolLimit { tool: tool.value.clone(), most: most.value, origin: most.place.origin() },
                place: most.place.clone(),
            });
        }
    }
    limits
}

pub(super) fn syscalls(layers: &[Layer], errors: &mut Vec<Diagnostic>) -> Vec<SyscallRule> {
    let mut rules: Vec<SyscallRule> = Vec::new();
    for text in layers.iter().flat_map(|l| &l.file.syscalls) {
        let mut calls = Vec::new();
        for name in &text.names {
            let Some(number) = seccomp::syscall_number(&name.value).and_then(|n| u32::try_from(n).ok()) else {
                continue;
            };
            let before = rules.iter().find(|rule| rule.calls.iter().any(|(nr, _)| *nr == number));
            if let Some(before) = before {
                let message = format!("`{}` has an answer already, from the entry at {}", name.value, before.origin);
                errors.push(Diagnostic::at(&name.place, message).help("keep one of them"));
            } else if let Some(why) = not_addable(number, text.action) {
                let message = format!("layer seccomp: `{}` cannot be added: {why}", name.value);
                errors.push(Diagnostic::at(&name.place, message).help("remove it"));
            } else if !calls.iter().any(|(nr, _)| *nr == number) {
                calls.push((number, name.value.clone()));
            }
        }
        calls.sort();
        rules.push(SyscallRule { calls, action: text.action, why: text.why.clone(), origin: text.place.origin() });
    }
    rules
}

/// Why a syscall cannot get another answer than the profile's.
fn not_addable(number: u32, action: SyscallAction) -> Option<String> {
    let Some(profile) = seccomp::profile("cell-native") else { return Some("there is no profile".to_owned()) };
    seccomp::addable(&profile, number, action).err().map(|why| why.to_string())
}

/// Every tool that a list names must be one.
pub(super) fn known_tools(policy: &Resolved, errors: &mut Vec<Diagnostic>) {
    let lists = policy.allow.iter().chain(&policy.forbid).chain(&policy.ask);
    let named = lists.map(|entry| (&entry.value, &entry.place));
    let rated = policy.rates.iter().map(|rate| (&rate.value.tool, &rate.place));
    let limited = policy.concurrent.iter().chain(&policy.tool_walls).map(|limit| (&limit.value.tool, &limit.place));
    for (tool, place) in named.chain(rated).chain(limited) {
        if let Some(help) = unknown(policy, tool) {
            let shown: String = tool.escape_debug().take(128).collect();
            errors.push(Diagnostic::at(place, format!("there is no tool \"{shown}\"")).help(help));
        }
    }
}

/// What to do about a tool that nothing provides.
fn unknown(policy: &Resolved, tool: &str) -> Option<String> {
    if tool == "*" || Tool::from_name(tool).is_some() {
        return None;
    }
    let Some((name, of_server)) = tool.strip_prefix("mcp.").and_then(|rest| rest.split_once('.')) else {
        let add = "add a [[model]] that it can speak to".to_owned();
        return policy.models.is_empty().then_some(add);
    };
    let Some(server) = policy.mcp.iter().find(|server| server.name == name) else {
        return Some(format!("add an [[mcp]] with name = \"{name}\""));
    };
    let names = || server.pins.iter().map(|(name, _)| name.as_str());
    if of_server == "*" || names().any(|known| known == of_server) {
        return None;
    }
    Some(match suggestion(of_server, names()) {
        Some(near) => format!("did you mean \"mcp.{name}.{near}\"?"),
        None => format!("the server's approved list is {}", server.origin),
    })
}
