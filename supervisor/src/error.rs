//! Why a run did not happen or did not end well on Stockade's side, with its exit code.

use std::path::PathBuf;

use nix::errno::Errno;
use stockade_plan::step::Step;

/// A run that could not be had. Every variant has a documented exit code (docs/exit-codes.md).
#[derive(Debug)]
pub enum RunError {
    /// The policy was refused; the text is whole diagnostics.
    Policy(String),
    /// The component or program was refused.
    Component(String),
    /// The workspace was refused.
    Workspace(String),
    /// The host cannot enforce a layer or has no room for the run.
    Host(String),
    /// A launch step failed; no agent code ran.
    Launch {
        /// Which process set.
        what: &'static str,
        /// The step.
        step: Step,
        /// The kernel's answer, if it was asked.
        errno: Option<Errno>,
        /// What the step was about (a path, a limit).
        operand: String,
    },
    /// A process set ended, or said nothing in time, before its layers were read back.
    LaunchLost {
        /// Which process set.
        what: &'static str,
        /// What is known.
        detail: String,
    },
    /// The kernel's account differs from the plan; the cell was killed before agent code ran.
    Attestation {
        /// Which process set.
        what: &'static str,
        /// Each difference.
        mismatches: Vec<String>,
    },
    /// The journal cannot be written, or one that is to be run again from is broken.
    Journal(String),
    /// A recorded run cannot be run again here: something it depends on is gone or another, or it goes on, or has ended.
    Recorded(String),
    /// An operation of the supervisor's own failed.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The operator's signal came before agent code ran.
    Interrupted(i32),
    /// Something that cannot happen did.
    Internal(String),
}

impl RunError {
    /// The documented exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted(signal) => 128 + u8::try_from(*signal).unwrap_or(2),
            // The launcher has judged the plan, and the kernel had no part in it.
            Self::Policy(_) | Self::Launch { step: Step::Ceiling, errno: None, .. } => 10,
            Self::Component(_) => 11,
            Self::Workspace(_) => 12,
            Self::Host(_) => 13,
            Self::Launch { .. } | Self::LaunchLost { .. } | Self::Attestation { .. } => 14,
            Self::Journal(_) => 15,
            Self::Recorded(_) => 26,
            Self::Io { .. } | Self::Internal(_) => 1,
        }
    }
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Policy(text)
            | Self::Component(text)
            | Self::Workspace(text)
            | Self::Host(text)
            | Self::Journal(text)
            | Self::Recorded(text) => f.write_str(text),
            Self::Launch { what, step, errno, operand } => {
                write!(f, "launch of the {what} failed at step {step}")?;
                if !operand.is_empty() {
                    write!(f, " ({operand})")?;
                }
                if let Some(errno) = errno {
                    write!(f, ": {}", errno.desc())?;
                }
                write!(f, "; no agent code ran. What to do: {}", step.advice())
            }
            Self::LaunchLost { what, detail } => {
                write!(f, "launch of the {what} did not come to an end: {detail}; no agent code ran")
            }
            Self::Attestation { what, mismatches } => {
                write!(
                    f,
                    "the {what} was killed before agent code ran: what the kernel reports is not what was planned: {}. Do not run agents on this host before this is understood",
                    mismatches.join("; ")
                )
            }
            Self::Io { doing, path, errno } => write!(f, "{doing} {}: {}", path.display(), errno.desc()),
            Self::Interrupted(signal) => write!(f, "signal {signal} came before agent code ran"),
            Self::Internal(text) => write!(f, "internal error: {text}; please report this"),
        }
    }
}

impl std::error::Error for RunError {}

/// Names the operation and operand of a failing system call.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T, RunError>;
}

impl<T> Doing<T> for Result<T, Errno> {
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T, RunError> {
        self.map_err(|errno| RunError::Io { doing, path: path.into(), errno })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T, RunError> {
        self.map_err(|e| errno_of(&e)).doing(doing, path)
    }
}

pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
}
