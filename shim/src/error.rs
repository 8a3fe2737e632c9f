//! Why a shim stops, and the exit code that says so.

use std::fmt;

use nix::errno::Errno;

use crate::control::ControlError;
use stockade_journal::JournalError;

/// Exit codes of `stockade-shim`.
pub mod exit {
    /// The run ended and its last record is durable.
    pub const OK: u8 = 0;
    /// A system call that must work did not.
    pub const INTERNAL: u8 = 1;
    /// A descriptor, the setup message or the policy bundle is not usable; nothing was served.
    pub const SETUP: u8 = 3;
    /// The supervisor broke the control protocol, or does not answer.
    pub const CONTROL: u8 = 4;
    /// The supervisor is gone; the journal says so.
    pub const ORPHANED: u8 = 5;
    /// The journal cannot be written.
    pub const JOURNAL: u8 = 15;
}

/// Why a shim stops before its time.
#[derive(Debug)]
pub enum ShimError {
    /// An inherited descriptor is not what the contract says.
    Descriptor {
        /// Its number.
        fd: i32,
        /// What is wrong with it.
        problem: String,
    },
    /// The setup message or what came with it is not usable.
    Setup(String),
    /// A system call failed.
    Os {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// The control channel is broken.
    Control(ControlError),
    /// A message that is well formed but has no place here.
    Protocol(String),
    /// The supervisor closed the control channel during the run.
    Orphaned,
    /// A record cannot be written. The effect it announces did not happen.
    Journal(JournalError),
}

impl ShimError {
    /// The process exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Descriptor { .. } | Self::Setup(_) => exit::SETUP,
            Self::Os { .. } => exit::INTERNAL,
            Self::Control(_) | Self::Protocol(_) => exit::CONTROL,
            Self::Orphaned => exit::ORPHANED,
            Self::Journal(_) => exit::JOURNAL,
        }
    }
}

impl fmt::Display for ShimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descriptor { fd, problem } => {
                write!(f, "descriptor {fd}: {problem}; stockade-shim is started by stockade, not by hand")
            }
            Self::Setup(what) => write!(f, "setup: {what}"),
            Self::Os { what, errno } => write!(f, "{what}: {errno}"),
            Self::Control(e) => write!(f, "control channel: {e}"),
            Self::Protocol(what) => write!(f, "control channel: {what}"),
            Self::Orphaned => write!(f, "control channel: the supervisor is gone"),
            Self::Journal(e) => {
                write!(f, "journal: {e}; the run is ended, because what cannot be recorded must not happen")
            }
        }
    }
}

impl std::error::Error for ShimError {}

impl From<ControlError> for ShimError {
    fn from(e: ControlError) -> Self {
        match e {
            ControlError::Closed => Self::Orphaned,
            other => Self::Control(other),
        }
    }
}

impl From<JournalError> for ShimError {
    fn from(e: JournalError) -> Self {
        Self::Journal(e)
    }
}
