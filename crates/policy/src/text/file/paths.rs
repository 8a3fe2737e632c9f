//! Paths of rules: canonical, and none that would open the machine.

use super::super::reader::{Located, Section};
use crate::path::{PathError, PathRule};

/// Host trees that hold the machine itself or its secrets. A cell gets its own `/proc`, `/dev` and nothing of the others.
const NEVER: [&str; 10] = [
    "/",
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/run",
    "/var/lib/stockade",
    "/etc/stockade",
    // The cell has its own.
    "/tmp",
    "/workspace",
];

/// Paths as they are, for what only narrows.
pub(super) fn any(section: &Section<'_>, key: &str) -> Vec<Located<PathRule>> {
    section.strings(key).into_iter().filter_map(|text| parse(section, key, text)).collect()
}

/// Paths that something is given of.
pub(super) fn host_or_workspace(section: &Section<'_>, key: &str) -> Vec<Located<PathRule>> {
    any(section, key).into_iter().filter(|rule| harmless(section, key, rule)).collect()
}

/// Paths of the workspace.
pub(super) fn workspace_only(section: &Section<'_>, key: &str) -> Vec<Located<PathRule>> {
    let inside = |rule: &Located<PathRule>| {
        let PathRule::Host(host) = &rule.value else { return true };
        let message = format!("`{}` of a host path ({host}) is enforced by no layer", section.full(key));
        section.report(&rule.place, message, "only the workspace can be written: write = [\"@workspace\"]");
        false
    };
    any(section, key).into_iter().filter(inside).collect()
}

/// Path names of sockets of the host.
pub(super) fn sockets(section: &Section<'_>, key: &str) -> Vec<Located<String>> {
    let host = |rule: Located<PathRule>| match &rule.value {
        PathRule::Host(path) => Some(Located { value: path.clone(), place: rule.place.clone() }),
        PathRule::Workspace(_) => {
            let message = format!("`{}` speaks of sockets of the host", section.full(key));
            section.report(&rule.place, message, "name an absolute path");
            None
        }
    };
    any(section, key).into_iter().filter_map(host).collect()
}

fn parse(section: &Section<'_>, key: &str, text: Located<String>) -> Option<Located<PathRule>> {
    match text.value.parse::<PathRule>() {
        Ok(value) => Some(Located { value, place: text.place }),
        Err(error) => {
            let help = match error {
                PathError::NotCanonical(want) => format!("write \"{want}\""),
                error => format!("{error}; write \"/usr/share\" or \"@workspace/docs\""),
            };
            section.report(&text.place, format!("`{}` is not a path for a rule", section.full(key)), help);
            None
        }
    }
}

/// The tree that no policy may give and that a rule would.
pub(crate) fn opens_the_machine(rule: &PathRule) -> Option<&'static str> {
    NEVER.into_iter().find(|tree| match (rule, *tree) {
        (PathRule::Host(host), "/") => host == "/",
        (rule, tree) => PathRule::Host(tree.to_owned()).covers(rule),
    })
}

fn harmless(section: &Section<'_>, key: &str, rule: &Located<PathRule>) -> bool {
    let Some(tree) = opens_the_machine(&rule.value) else { return true };
    let host = &rule.value;
    let help = match tree {
        "/" => "name the trees the agent needs, as in \"/usr\"".to_owned(),
        tree => format!("nothing at or beneath {tree} may be shown; name the trees the agent needs, as in \"/usr\""),
    };
    section.report(&rule.place, format!("`{}` of {host} would open the machine to the agent", section.full(key)), help);
    false
}
