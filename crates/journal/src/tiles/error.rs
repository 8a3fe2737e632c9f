//! Why the host's log cannot be read or appended to.

use std::fmt;

use nix::errno::Errno;

use crate::note::NoteError;
use crate::tree::{FrontierError, ProofError};

/// Why the host's log cannot be read or appended to. After one of these nothing has been signed
/// that was not signed before.
#[derive(Debug)]
pub enum LogError {
    /// A system call failed.
    Io {
        /// The call.
        op: &'static str,
        /// File, in the log's folder.
        file: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// A file that must be there is not.
    Missing {
        /// File, in the log's folder.
        file: String,
    },
    /// A file is not what its place says.
    Damaged {
        /// File, in the log's folder.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A note is not signed by whom it must be, or is none.
    Note {
        /// File, in the log's folder.
        file: String,
        /// What is wrong.
        cause: NoteError,
    },
    /// The log is shorter than it was said to be.
    Rollback {
        /// Who remembers: a file or a witness.
        witness: String,
        /// Leaves it remembers.
        remembered: u64,
        /// Leaves there are.
        found: u64,
    },
    /// The log has another beginning than it was said to have.
    Fork {
        /// Who remembers: a file or a witness.
        witness: String,
        /// Leaves of the beginning.
        size: u64,
    },
    /// A proof asks for what the log has not.
    Proof(ProofError),
    /// The log is full.
    Full(FrontierError),
    /// The run's name, or its head, cannot stand in a leaf.
    Head {
        /// What is wrong.
        why: &'static str,
    },
}

impl LogError {
    /// For `map_err`.
    pub(super) fn io(op: &'static str, file: &str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Io { op, file: file.to_owned(), errno }
    }

    pub(super) fn damaged(file: &str, why: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), why: why.into() }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { op, file, errno } => write!(f, "{op} {file}: {errno}"),
            Self::Missing { file } => write!(f, "{file} is missing"),
            Self::Damaged { file, why } => write!(f, "{file} is damaged: {why}"),
            Self::Note { file, cause } => write!(f, "{file}: {cause}"),
            Self::Rollback { witness, remembered, found } => {
                write!(f, "rollback: the host's log has {found} leaves, {witness} has seen {remembered}")
            }
            Self::Fork { witness, size } => {
                write!(f, "fork: the first {size} leaves of the host's log are not those that {witness} has seen")
            }
            Self::Proof(cause) => write!(f, "{cause}"),
            Self::Full(cause) => write!(f, "{cause}"),
            Self::Head { why } => write!(f, "not a head of a run: {why}"),
        }
    }
}

impl std::error::Error for LogError {}

impl From<ProofError> for LogError {
    fn from(cause: ProofError) -> Self {
        Self::Proof(cause)
    }
}
