//! What an operator's commands say to a run that lives, and what it answers: one JSON object per `SOCK_SEQPACKET`
//! datagram, one question a connection.
//!
//! The socket is root's alone. Who is at the other end the run learns from the kernel (unix(7), `SO_PEERCRED`, and
//! `/proc/PID/loginuid`), not from what is said.

use serde::{Deserialize, Serialize};

/// Longest datagram in bytes, both ways.
pub const MAX_OPERATOR: usize = 256 * 1024;

/// Most approvals that wait in one run.
pub const MAX_PENDING: usize = 32;

/// Longest note of an operator in bytes.
pub const MAX_NOTE: usize = 1024;

/// What is asked of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// Which approvals wait.
    Pending,
    /// One of them, with its arguments.
    Show {
        /// Its number.
        approval: u64,
    },
    /// Do something.
    Order {
        /// What.
        order: Order,
        /// The operator's own words, for the record.
        note: String,
    },
    /// End the run now: its cells are killed, calls in flight with them.
    Stop {
        /// The operator's own words, for the record.
        note: String,
    },
}

/// Something that the shim does on an operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Answers a question.
    Settle {
        /// The approval's number.
        approval: u64,
        /// SHA-256 of the canonical action that was looked at, hex. Another one than the call's is refused.
        action: String,
        /// Yes or no.
        approve: bool,
    },
    /// Refuses every call of a tool from now on, and cuts short those in flight.
    Freeze {
        /// A tool's name, `mcp.SERVER.*`, or `*` for all.
        tool: String,
    },
    /// Takes a [`Self::Freeze`] back.
    Thaw {
        /// As it was frozen.
        tool: String,
    },
}

/// What a run answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// To [`Question::Pending`], the oldest first; their arguments are left out.
    Pending {
        /// What waits.
        approvals: Vec<Pending>,
    },
    /// To [`Question::Show`].
    Shown {
        /// The approval.
        approval: Pending,
    },
    /// It is done.
    Done {
        /// What came of it, in one line.
        what: String,
    },
    /// It is not.
    Refused {
        /// Why, in one line.
        why: String,
    },
}

/// A call that waits for an approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Its number in the run, from 1.
    pub approval: u64,
    /// The id of the call.
    pub call: u64,
    /// The tool.
    pub tool: String,
    /// What it acts on, in its one spelling.
    pub object: String,
    /// The arguments; long ones are shown by size, digest and beginning.
    pub args: serde_json::Value,
    /// SHA-256 of the canonical action, hex: what the approval is bound to.
    pub action: String,
    /// Ids of the rules that want the approval.
    pub rules: Vec<String>,
    /// The rules, with file and line.
    pub reason: String,
    /// Seconds since 1970 at which silence becomes a denial.
    pub expires: u64,
}

/// Who gives an order, as the kernel says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Effective user of the process that connected.
    pub uid: u32,
    /// Its number, as the supervisor sees it.
    pub pid: i32,
    /// Who logged in, whoever they became since (`/proc/PID/loginuid`); none if nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// The operator's own words; nobody has checked them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Whether a frozen name stands for a tool.
#[must_use]
pub fn is_frozen_by(frozen: &str, tool: &str) -> bool {
    match frozen.strip_suffix('*') {
        Some(prefix) => prefix.is_empty() || (prefix.ends_with('.') && tool.starts_with(prefix)),
        None => frozen == tool,
    }
}

/// Checks a name to be frozen.
///
/// # Errors
/// What is wrong with it.
pub fn check_frozen(name: &str) -> Result<(), String> {
    let plain = name.strip_suffix('*').unwrap_or(name);
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    let good = !name.is_empty()
        && name.len() <= crate::frame::MAX_TOOL
        && !plain.starts_with('.')
        && plain.bytes().all(known)
        && (plain == name || plain.is_empty() || plain.ends_with('.'));
    if good {
        Ok(())
    } else {
        Err(format!("{name:?} is no tool's name; name a tool, `mcp.SERVER.*` for all of a server's, or `*` for all"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_names() {
        for (frozen, tool, held) in [
            ("exec", "exec", true),
            ("exec", "exec2", false),
            ("*", "anything", true),
            ("mcp.git.*", "mcp.git.log", true),
            ("mcp.git.*", "mcp.gitlab.log", false),
            ("mcp.git.log", "mcp.git.log", true),
        ] {
            assert_eq!(is_frozen_by(frozen, tool), held, "{frozen} {tool}");
        }
        for name in ["exec", "*", "mcp.git.*", "workspace.read", "mcp.a-b.c_d"] {
            assert_eq!(check_frozen(name), Ok(()), "{name}");
        }
        for name in ["", "a*", "mcp.git*", "a b", ".*", "../x*", "*.a", "a\n", &"x".repeat(200)] {
            assert!(check_frozen(name).is_err(), "{name}");
        }
    }
}
