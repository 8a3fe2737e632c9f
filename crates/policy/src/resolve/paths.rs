//! What `fs` comes to: lists add up, denied rules go, and the mode caps them.

use super::{Entry, entries};
use crate::diagnostic::Diagnostic;
use crate::extends::Layer;
use crate::model::Unreachable;
use crate::path::PathRule;
use crate::text::Located;

#[derive(Debug)]
pub(super) struct Paths {
    pub(super) read: Vec<Entry<PathRule>>,
    pub(super) write: Vec<Entry<PathRule>>,
    pub(super) execute: Vec<Entry<PathRule>>,
    pub(super) deny: Vec<Entry<PathRule>>,
    pub(super) unreachable: Vec<Unreachable>,
}

pub(super) fn resolve(layers: &[Layer], errors: &mut Vec<Diagnostic>) -> Paths {
    let mut paths = Paths {
        read: entries(layers, "fs.read", |l| &l.file.read),
        write: entries(layers, "fs.write", |l| &l.file.write),
        execute: entries(layers, "fs.execute", |l| &l.file.execute),
        deny: entries(layers, "fs.deny", |l| &l.file.deny),
        unreachable: Vec::new(),
    };
    for entry in &paths.execute {
        if !paths.read.iter().chain(&paths.write).any(|readable| readable.value.covers(&entry.value)) {
            let message = format!("`{}` cannot be reached: {} may not be read", entry.id, entry.value);
            errors.push(Diagnostic::at(&entry.place, message).help("add it, or a directory above it, to fs.read"));
        }
    }
    // The last word on the workspace is the policy's own, like every other value.
    if let Some(mode) = layers.iter().rev().find_map(|l| l.file.workspace.as_ref()) {
        cap(&mut paths, mode);
    }
    deny(&mut paths, errors);
    paths
}

fn cap(paths: &mut Paths, mode: &Located<&'static str>) {
    let inside = |entry: &Entry<PathRule>| matches!(entry.value, PathRule::Workspace(_));
    match mode.value {
        "none" => {
            for list in [&mut paths.read, &mut paths.write, &mut paths.execute] {
                list.retain(|entry| !inside(entry));
            }
        }
        // What could be written can still be read.
        "read-only" => {
            let (inside, outside): (Vec<_>, Vec<_>) = std::mem::take(&mut paths.write).into_iter().partition(inside);
            paths.read.extend(inside);
            paths.write = outside;
        }
        _ => {}
    }
}

/// Takes what is denied out of what is allowed. A host path beneath an allowed one stays reachable by
/// Landlock, which knows no exceptions, so asking for that is an error.
fn deny(paths: &mut Paths, errors: &mut Vec<Diagnostic>) {
    let rules = std::mem::take(&mut paths.deny);
    let mut lost = Vec::new();
    for list in [&mut paths.read, &mut paths.write, &mut paths.execute] {
        list.retain(|entry| match rules.iter().find(|deny| deny.value.merged().covers(&entry.value.merged())) {
            Some(deny) => {
                let why = format!("{} ({}) denies all of it", deny.id, deny.place.origin());
                lost.push(Unreachable { key: entry.id.clone(), why, origin: entry.place.origin() });
                false
            }
            None => true,
        });
    }
    paths.unreachable.extend(lost);
    for rule in rules {
        let real = rule.value.merged();
        let above = paths.read.iter().chain(&paths.write).find(|allowed| allowed.value.merged().covers(&real));
        match (&rule.value, above) {
            (_, None) => {}
            (PathRule::Workspace(_), Some(_)) => paths.deny.push(rule),
            (PathRule::Host(path), Some(allowed)) => {
                let message = format!(
                    "`{}` cannot be enforced: layer landlock knows no exceptions beneath {} ({})",
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
}
