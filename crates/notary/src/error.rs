//! Why a notary refuses, and how that is told.

use std::fmt;

use stockade_journal::note::NoteError;
use stockade_journal::tiles::LogError;
use stockade_journal::tree::FrontierError;
use stockade_wire::notary::{FromNotary, Refusal};

/// Why a notary refuses.
#[derive(Debug)]
pub enum NotaryError {
    /// The host's log.
    Log(LogError),
    /// A key.
    Key {
        /// Where it is from.
        from: String,
        /// What is wrong.
        why: String,
    },
    /// A step of shutting itself in.
    Confine {
        /// The step.
        step: &'static str,
        /// What was said.
        why: String,
    },
    /// The journal has fewer lines than have been signed.
    Rollback {
        /// The run.
        run: String,
        /// Lines signed.
        signed: u64,
        /// Lines there are.
        lines: u64,
    },
    /// The run was begun before, or was not.
    Run {
        /// The run.
        run: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A message that may not come now, or is malformed.
    Protocol(String),
}

impl NotaryError {
    /// The last word.
    pub fn refusal(&self) -> FromNotary {
        let code = match self {
            Self::Rollback { .. } | Self::Log(LogError::Rollback { .. }) => Refusal::Rollback,
            Self::Log(LogError::Fork { .. }) => Refusal::Fork,
            Self::Log(_) => Refusal::Log,
            Self::Key { .. } => Refusal::Key,
            Self::Confine { .. } => Refusal::Confine,
            Self::Run { .. } => Refusal::Run,
            Self::Protocol(_) => Refusal::Protocol,
        };
        FromNotary::Refused { code, detail: self.to_string() }
    }

    pub(crate) fn key(from: &str, why: impl ToString) -> Self {
        Self::Key { from: from.to_owned(), why: why.to_string() }
    }

    pub(crate) fn confine<E: fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |why| Self::Confine { step, why: why.to_string() }
    }
}

impl fmt::Display for NotaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(cause) => write!(f, "host log: {cause}"),
            Self::Key { from, why } => write!(f, "key {from}: {why}"),
            Self::Confine { step, why } => write!(f, "the notary could not shut itself in: {step}: {why}"),
            Self::Rollback { run, signed, lines } => {
                write!(f, "rollback: {run}'s journal has {lines} lines, {signed} have been signed")
            }
            Self::Run { run, why } => write!(f, "run {run}: {why}"),
            Self::Protocol(why) => write!(f, "protocol: {why}"),
        }
    }
}

impl std::error::Error for NotaryError {}

impl From<LogError> for NotaryError {
    fn from(cause: LogError) -> Self {
        Self::Log(cause)
    }
}

impl From<NoteError> for NotaryError {
    fn from(cause: NoteError) -> Self {
        Self::key("of the log", cause)
    }
}

impl From<FrontierError> for NotaryError {
    fn from(cause: FrontierError) -> Self {
        Self::Log(LogError::Full(cause))
    }
}
