//! Several files become one policy: numbers of later files replace earlier ones, lists add up, deny wins.

use crate::diagnostic::{Diagnostic, Place};
use crate::extends::Layer;
use crate::model::{ExecRule, Limits, Require};
use crate::path::PathRule;
use crate::text::Located;
use crate::text::file::{ExecText, LimitsText};
use std::collections::BTreeMap;

/// An entry of a list, with the id it has in records.
#[derive(Debug, Clone)]
pub(crate) struct Entry<T> {
    /// `fs.read[0]`, `preset:base/tools.allow[2]`.
    pub(crate) id: String,
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// Everything but the Cedar rules.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) id: String,
    pub(crate) require: Require,
    pub(crate) limits: Limits,
    pub(crate) read: Vec<Entry<PathRule>>,
    pub(crate) write: Vec<Entry<PathRule>>,
    pub(crate) execute: Vec<Entry<PathRule>>,
    pub(crate) deny: Vec<Entry<PathRule>>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) allow: Vec<Entry<String>>,
    pub(crate) forbid: Vec<Entry<String>>,
    pub(crate) exec: Vec<(ExecRule, Option<String>)>,
    pub(crate) cedar: Vec<Located<String>>,
}

/// Merges the layers. `file` is the policy's own name, for what is missing everywhere.
pub(crate) fn resolve(layers: &[Layer], file: &str) -> Result<Resolved, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let limits = limits(layers, file, &mut errors);
    let exec = exec(layers, &mut errors);
    let mut read = entries(layers, "fs.read", |l| &l.file.read);
    let mut write = entries(layers, "fs.write", |l| &l.file.write);
    let deny = deny(entries(layers, "fs.deny", |l| &l.file.deny), &mut read, &mut write, &mut errors);
    let cedar = cedar_files(layers, &mut errors);
    let mut env = BTreeMap::new();
    for (key, value) in layers.iter().flat_map(|l| &l.file.env) {
        env.insert(key.value.clone(), value.clone());
    }
    let mut degrade_ok: Vec<String> = layers.iter().flat_map(|l| &l.file.degrade_ok).map(|d| d.value.clone()).collect();
    degrade_ok.sort();
    degrade_ok.dedup();
    let id = layers.last().and_then(|l| l.file.id.as_ref()).map(|id| id.value.clone());
    match (limits, id) {
        (Some(limits), Some(id)) if errors.is_empty() => Ok(Resolved {
            id,
            require: Require { degrade_ok },
            limits,
            // Until `fs.execute` is read: what may be read of the host and written of the workspace.
            execute: read.iter().chain(&write).cloned().collect(),
            read,
            write,
            deny,
            env: env.into_iter().collect(),
            allow: entries(layers, "tools.allow", |l| &l.file.tools_allow),
            forbid: entries(layers, "tools.deny", |l| &l.file.tools_deny),
            exec,
            cedar,
        }),
        _ => {
            if errors.is_empty() {
                errors.push(Diagnostic::of(file, "the policy has no `id`"));
            }
            Err(errors)
        }
    }
}

fn entries<T: Clone>(layers: &[Layer], list: &str, of: impl Fn(&Layer) -> &Vec<Located<T>>) -> Vec<Entry<T>> {
    let one = |layer| {
        let Layer { prefix, .. }: &Layer = layer;
        let number = |(at, l): (usize, &Located<T>)| Entry {
            id: format!("{prefix}{list}[{at}]"),
            value: l.value.clone(),
            place: l.place.clone(),
        };
        of(layer).iter().enumerate().map(number).collect::<Vec<_>>()
    };
    layers.iter().flat_map(one).collect()
}

fn limits(layers: &[Layer], file: &str, errors: &mut Vec<Diagnostic>) -> Option<Limits> {
    let last =
        |of: fn(&LimitsText) -> &Option<Located<u64>>| layers.iter().rev().find_map(|l| of(&l.file.limits).as_ref());
    let mut need = |key: &str, example: &str, of: fn(&LimitsText) -> &Option<Located<u64>>| {
        let value = last(of).map(|l| l.value);
        if value.is_none() {
            let message = format!("no `limits.{key}` is set, and absent does not mean unlimited");
            let help = format!("add extends = [\"preset:base\"], or {key} = {example} to [limits]");
            errors.push(Diagnostic::of(file, message).help(help));
        }
        value
    };
    let memory = need("memory", "\"256MiB\"", |l| &l.memory);
    let cpu = need("cpu", "\"100%\"", |l| &l.cpu);
    let pids = need("pids", "32", |l| &l.pids);
    let wall_ms = need("wall", "\"10m\"", |l| &l.wall);
    let fuel = need("fuel", "1_000_000_000", |l| &l.fuel);
    let table_elements = need("tables", "10_000", |l| &l.tables);
    let output = need("output", "\"1MiB\"", |l| &l.output);
    let files = need("files", "256", |l| &l.files);
    let file_size = need("file_size", "\"64MiB\"", |l| &l.file_size);
    let calls = need("calls", "1000", |l| &l.calls);
    // The ranges were checked when they were read; what does not fit would be a limit of zero.
    let small = |n: u64| u32::try_from(n).ok();
    Some(Limits {
        memory: memory?,
        cpu_millis: small(cpu?)?,
        pids: small(pids?)?,
        wall_ms: wall_ms?,
        fuel: fuel?,
        table_elements: table_elements?,
        output: output?,
        files: small(files?)?,
        file_size: file_size?,
        calls: calls?,
        journal: u64::MAX,
        io_read: None,
        io_write: None,
    })
}

fn exec(layers: &[Layer], errors: &mut Vec<Diagnostic>) -> Vec<(ExecRule, Option<String>)> {
    let mut rules: Vec<(ExecRule, Option<String>)> = Vec::new();
    for ExecText { id, command, wall_ms, reason, place } in layers.iter().flat_map(|l| &l.file.exec) {
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

/// Takes what is denied out of what is allowed. A host path beneath an allowed one stays reachable by
/// Landlock, which knows no exceptions, so asking for that is an error.
fn deny(
    rules: Vec<Entry<PathRule>>,
    read: &mut Vec<Entry<PathRule>>,
    write: &mut Vec<Entry<PathRule>>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Entry<PathRule>> {
    let denied = |entry: &Entry<PathRule>| rules.iter().any(|d| d.value.covers(&entry.value));
    read.retain(|entry| !denied(entry));
    write.retain(|entry| !denied(entry));
    let mut kept = Vec::new();
    for rule in rules {
        let above = read.iter().chain(write.iter()).find(|allowed| allowed.value.covers(&rule.value));
        match (&rule.value, above) {
            (_, None) => {}
            (PathRule::Workspace(_), Some(_)) => kept.push(rule),
            (PathRule::Host(path), Some(allowed)) => {
                let message = format!(
                    "`{}` cannot be enforced: Landlock has no exceptions beneath {} ({})",
                    rule.id, allowed.id, allowed.value
                );
                let help = format!(
                    "{path} is denied if nothing above it is allowed: name what the agent may read instead of {}",
                    allowed.value
                );
                errors.push(Diagnostic::at(&rule.place, message).help(help));
            }
        }
    }
    kept
}

fn cedar_files(layers: &[Layer], errors: &mut Vec<Diagnostic>) -> Vec<Located<String>> {
    let mut files: Vec<Located<String>> = Vec::new();
    for file in layers.iter().flat_map(|l| &l.file.cedar) {
        if files.iter().any(|f| f.value == file.value) {
            errors.push(
                Diagnostic::at(&file.place, format!("\"{}\" is named twice", file.value.escape_debug()))
                    .help("remove one"),
            );
        } else {
            files.push(file.clone());
        }
    }
    files
}
