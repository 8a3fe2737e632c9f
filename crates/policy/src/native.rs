//! What a native program gets of the file system, in the cell's own names.
//!
//! What every cell has is listed here once, for the planner that builds it and for `explain`; a test holds the
//! two against each other in real cells. Landlock knows no exceptions: the rights of a path are those of every
//! tree above it together, less what a mount hides.

use crate::attempt::Access;
use crate::model::{Origin, Policy};
use crate::path::{PathRule, beneath};

/// Where the workspace appears.
pub const WORKSPACE: &str = "/workspace";
/// Top-level names that merged-/usr hosts have as links into `/usr` (Debian 12, Fedora 17 and later).
pub const MERGED: [&str; 4] = ["/bin", "/sbin", "/lib", "/lib64"];
/// Device nodes of every native cell; none of them holds state of the host.
pub const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Bounded file systems of the run's own.
pub const SCRATCH: [&str; 2] = ["/tmp", "/dev/shm"];
/// Files that say who the agent is, and nothing of the host's users: passwd(5), group(5), hosts(5).
pub const IDENTITY: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/hosts"];
/// Where names are asked for, in a cell whose policy has places outside: resolv.conf(5).
pub const RESOLVER: &str = "/etc/resolv.conf";
/// The cell's own processes.
pub const PROC: &str = "/proc";

/// A tree and the rights beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Absolute in the cell.
    pub path: String,
    /// Beneath it, or itself if it is a file.
    pub read: bool,
    /// Beneath it.
    pub write: bool,
    /// Beneath it, by execve(2).
    pub execute: bool,
    /// The rule that gives it; `None` for what every native cell has.
    pub rule: Option<(String, Origin)>,
}

/// What a path comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Absolute in the cell, links of a merged `/usr` followed.
    pub path: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// `landlock`, or `mounts` for what is hidden or not there at all.
    pub layer: &'static str,
    /// The rule that decides: what allows it, or the deny.
    pub rule: Option<(String, Origin)>,
    /// Why, for people.
    pub reason: String,
}

/// The path in the cell of a rule's tree.
#[must_use]
pub fn in_cell(rule: &PathRule) -> String {
    match rule {
        PathRule::Host(path) => path.clone(),
        PathRule::Workspace(path) if path.is_empty() => WORKSPACE.to_owned(),
        PathRule::Workspace(path) => format!("{WORKSPACE}/{path}"),
    }
}

/// The trees of a policy.
#[must_use]
pub fn trees(policy: &Policy) -> Vec<Tree> {
    let tree = |path: &str, read, write, execute| Tree { path: path.to_owned(), read, write, execute, rule: None };
    let mut trees = Vec::new();
    for (list, read, write, execute) in [
        (&policy.fs.read, true, false, false),
        (&policy.fs.write, true, true, false),
        (&policy.fs.execute, true, false, true),
    ] {
        trees.extend(list.iter().map(|rule| Tree {
            rule: Some((rule.id.clone(), rule.origin.clone())),
            ..tree(&in_cell(&rule.path), read, write, execute)
        }));
    }
    trees.extend(DEVICES.iter().map(|device| tree(device, true, true, false)));
    trees.extend(SCRATCH.iter().map(|place| tree(place, true, true, false)));
    trees.push(tree(PROC, true, false, false));
    let listed = |path: &str| policy.fs.read.iter().any(|rule| beneath(&in_cell(&rule.path), path));
    trees.extend(IDENTITY.iter().filter(|path| !listed(path)).map(|path| tree(path, true, false, false)));
    if !policy.egress.is_empty() && !listed(RESOLVER) {
        trees.push(tree(RESOLVER, true, false, false));
    }
    trees
}

/// What becomes of one access. `path` is absolute and canonical, or `@workspace` and beneath.
///
/// # Errors
/// Why it is no path.
pub fn sight(policy: &Policy, path: &str, access: Access) -> Result<Sight, crate::path::PathError> {
    let path = in_cell(&path.parse()?);
    let path = merged(policy, path);
    if let Some(deny) = policy.fs.deny.iter().find(|deny| beneath(&in_cell(&deny.path), &path)) {
        let reason = format!("{} hides it", deny.id);
        let rule = Some((deny.id.clone(), deny.origin.clone()));
        return Ok(Sight { path, allowed: false, layer: "mounts", rule, reason });
    }
    let trees = trees(policy);
    let above: Vec<&Tree> = trees.iter().filter(|tree| beneath(&tree.path, &path)).collect();
    let gives = above.iter().find(|tree| match access {
        Access::Read => tree.read,
        Access::Write => tree.write,
        Access::Execute => tree.execute,
    });
    if let Some(tree) = gives {
        let reason = match &tree.rule {
            Some((id, _)) => format!("{id} gives it"),
            None => format!("every native cell has {}", tree.path),
        };
        return Ok(Sight { path, allowed: true, layer: "landlock", rule: tree.rule.clone(), reason });
    }
    let list = access.name();
    let (layer, reason) = if above.is_empty() {
        ("mounts", format!("nothing of the cell's root holds it: no fs rule covers {path}"))
    } else {
        ("landlock", format!("no fs.{list} rule covers {path}"))
    };
    Ok(Sight { path, allowed: false, layer, rule: None, reason })
}

/// Follows `/bin` and its like into `/usr`, where the cell has them as links.
fn merged(policy: &Policy, path: String) -> String {
    let usr = policy.fs.read.iter().any(|rule| rule.path == PathRule::Host("/usr".to_owned()));
    let first = MERGED.iter().find(|top| usr && beneath(top, &path));
    first.map_or(path.clone(), |_| format!("/usr{path}"))
}
