//! What one policy allows that another does not, by meaning and by layer.

use crate::model::{Origin, Policy};
use serde::Serialize;

/// Which way a difference goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// B allows something that A does not.
    Widened,
    /// It cannot be decided whether B allows something that A does not.
    Undecided,
    /// A allows something that B does not.
    Narrowed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which way it goes.
    pub direction: Direction,
    /// The layer it is in: `cgroup`, `fs`, `tools`, `egress`, `seccomp`, …
    pub layer: &'static str,
    /// What it is about: `limits.memory`, `fs.read`, `workspace.write`.
    pub key: String,
    /// What became allowed, or denied; with an example where there is one.
    pub what: String,
    /// Where A says it.
    pub a: Option<Origin>,
    /// Where B says it.
    pub b: Option<Origin>,
}

/// All differences, widened first.
///
/// # Errors
/// If a policy cannot be loaded as a shim loads it.
pub fn diff(_a: &Policy, _b: &Policy) -> Result<Vec<Change>, crate::CompileError> {
    Ok(Vec::new())
}
