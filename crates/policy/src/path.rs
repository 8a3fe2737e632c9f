//! Paths in one spelling. What is not canonical is refused in a policy and rewritten in a call,
//! so that a rule and an object compare by their bytes.

use crate::native::MERGED;
use serde::{Deserialize, Serialize};

/// Longest path in bytes (`PATH_MAX` with its NUL).
pub const MAX_PATH: usize = 4095;
/// Longest component in bytes (`NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// A tree a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathRule {
    /// Relative to the workspace's root; empty for all of it.
    Workspace(String),
    /// Absolute, on the host.
    Host(String),
}

impl PathRule {
    /// Whether everything `other` covers lies in `self`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Workspace(a), Self::Workspace(b)) => beneath(a, b),
            (Self::Host(a), Self::Host(b)) => a == "/" || beneath(a, b),
            _ => false,
        }
    }
}

impl PathRule {
    /// The tree it leads to where `/bin` and its like are links into `/usr`, as on every host with a merged `/usr`.
    #[must_use]
    pub fn merged(&self) -> Self {
        match self {
            Self::Host(host) if MERGED.iter().any(|top| beneath(top, host)) => Self::Host(format!("/usr{host}")),
            path => path.clone(),
        }
    }
}

impl std::fmt::Display for PathRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workspace(p) if p.is_empty() => f.write_str("@workspace"),
            Self::Workspace(p) => write!(f, "@workspace/{p}"),
            Self::Host(p) => f.write_str(p),
        }
    }
}

/// Whether a path is a tree's root or lies beneath it.
pub(crate) fn beneath(top: &str, path: &str) -> bool {
    match path.strip_prefix(top) {
        Some(rest) => top.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// Why a path is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathError {
    /// Nothing there.
    Empty,
    /// Neither absolute nor `@workspace…` (in a policy).
    NotRooted,
    /// Absolute where it must be relative to the workspace.
    Absolute,
    /// A component is `..`.
    Parent,
    /// An empty or `.` component, or a trailing slash; holds the canonical spelling.
    NotCanonical(String),
    /// A NUL or another control character.
    Control(char),
    /// Over [`MAX_PATH`] bytes, or a component over [`MAX_NAME`].
    TooLong(usize),
}

impl std::fmt::Display for PathError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::NotRooted => f.write_str("it is neither absolute nor beneath `@workspace`"),
            Self::Absolute => f.write_str("it is absolute; paths are relative to the workspace"),
            Self::Parent => f.write_str("it goes up with `..`"),
            Self::NotCanonical(want) => write!(f, "it is not in canonical form; write `{want}`"),
            Self::Control(c) => write!(f, "it has a control character ({})", c.escape_unicode()),
            Self::TooLong(n) => write!(f, "it has {n} bytes; a path may have {MAX_PATH}, a name {MAX_NAME}"),
        }
    }
}

impl std::error::Error for PathError {}

fn components(text: &str) -> Result<Vec<&str>, PathError> {
    if text.len() > MAX_PATH {
        return Err(PathError::TooLong(text.len()));
    }
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(PathError::Control(c));
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(PathError::Parent),
            _ if part.len() > MAX_NAME => return Err(PathError::TooLong(part.len())),
            _ => parts.push(part),
        }
    }
    Ok(parts)
}

impl std::str::FromStr for PathRule {
    type Err = PathError;

    /// Reads a rule's path as it stands in a policy: canonical or not at all.
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        let (rule, canonical) = match text.strip_prefix("@workspace") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                let rule = Self::Workspace(components(rest)?.join("/"));
                let canonical = rule.to_string();
                (rule, canonical)
            }
            None if text.starts_with('/') => {
                let canonical = format!("/{}", components(text)?.join("/"));
                (Self::Host(canonical.clone()), canonical)
            }
            _ => return Err(PathError::NotRooted),
        };
        if canonical == text { Ok(rule) } else { Err(PathError::NotCanonical(canonical)) }
    }
}

/// A path in a tool call: beneath the workspace, canonical, empty for its root. It says nothing
/// about symbolic links: whoever opens it must resolve beneath the workspace without following any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkspacePath(String);

impl WorkspacePath {
    /// The canonical text, without a leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("@workspace")?;
        if self.0.is_empty() { Ok(()) } else { write!(f, "/{}", self.0) }
    }
}

impl std::str::FromStr for WorkspacePath {
    type Err = PathError;

    /// Empty and `.` components are dropped; `.` is the root.
    fn from_str(text: &str) -> Result<Self, PathError> {
        match text {
            "" => Err(PathError::Empty),
            _ if text.starts_with('/') => Err(PathError::Absolute),
            _ => Ok(Self(components(text)?.join("/"))),
        }
    }
}
