//! What can be asked of a policy, by its tests, by `policy explain`, and by whoever compares two policies.

use serde::{Deserialize, Serialize};

/// Something that an agent might do.
#[derive(Debug, Clone, PartialEq)]
pub enum Attempt {
    /// A tool call.
    Call {
        /// The tool, as the agent names it.
        tool: String,
        /// Its arguments.
        args: serde_json::Value,
        /// Whether a person has approved it.
        approved: bool,
    },
    /// A path as a native program meets it.
    Path {
        /// Absolute in the cell, or `@workspace` and beneath.
        path: String,
        /// What is done with it.
        access: Access,
    },
    /// A connection.
    Host {
        /// `HOST:PORT`
        endpoint: String,
        /// The request, if HTTP is spoken.
        http: Option<Http>,
    },
    /// A syscall of a native program.
    Syscall {
        /// Its name.
        name: String,
        /// Its argument registers.
        args: [u64; 6],
    },
}

/// An HTTP request as far as it is decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Over TLS.
    pub tls: bool,
    /// The method, as it is given.
    pub method: String,
    /// The path, as it is given.
    pub path: String,
}

/// What a program does with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read a file or list a directory.
    Read,
    /// Write, create, remove or rename.
    Write,
    /// Start it by execve(2).
    Execute,
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// It happens.
    Allow,
    /// It happens if a person approves.
    Ask,
    /// It does not.
    Deny,
}

impl Access {
    /// The word in policies and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
        }
    }

    /// The access of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Execute].into_iter().find(|access| access.name() == name)
    }
}

impl Expect {
    /// The word in policies and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

impl std::fmt::Display for Attempt {
    /// As it would be asked on the command line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Call { tool, args, approved } => {
                let approved = if *approved { " (approved)" } else { "" };
                write!(f, "call {} {args}{approved}", tool.escape_debug())
            }
            Self::Path { path, access } => write!(f, "path {} {}", path.escape_debug(), access.name()),
            Self::Host { endpoint, http: None } => write!(f, "host {}", endpoint.escape_debug()),
            Self::Host { endpoint, http: Some(http) } => {
                let scheme = if http.tls { "" } else { " http" };
                write!(
                    f,
                    "host {} {} {}{scheme}",
                    endpoint.escape_debug(),
                    http.method.escape_debug(),
                    http.path.escape_debug()
                )
            }
            Self::Syscall { name, .. } => write!(f, "syscall {}", name.escape_debug()),
        }
    }
}
