//! What can be wrong with a key, a note or a checkpoint.

use std::fmt;

/// Why a key, a note or a checkpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteError {
    /// The text is no key; the text itself is not repeated, since it may be a private one.
    Key {
        /// `verifier` or `signing`.
        what: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The bytes are no signed note.
    Note {
        /// What is wrong.
        why: &'static str,
    },
    /// The note's text is no checkpoint.
    Checkpoint {
        /// Line of the note, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// No signature is of the key that is trusted.
    Unsigned {
        /// The key, `name+id`.
        key: String,
        /// Keys that did sign, as they say: `name+id`.
        found: Vec<String>,
    },
    /// A signature that names the key was not made by it over this text.
    BadSignature {
        /// The key, `name+id`.
        key: String,
    },
    /// The checkpoint is of another log.
    Origin {
        /// The log wanted.
        expected: String,
        /// The log that the checkpoint names.
        found: String,
    },
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { what, why } => write!(f, "not a {what} key: {why}"),
            Self::Note { why } => write!(f, "not a signed note: {why}"),
            Self::Checkpoint { line, why } => write!(f, "not a checkpoint: line {line}: {why}"),
            Self::Unsigned { key, found } if found.is_empty() => write!(f, "not signed by {key}"),
            Self::Unsigned { key, found } => write!(f, "not signed by {key}; it is signed by {}", found.join(", ")),
            Self::BadSignature { key } => write!(f, "the signature of {key} is not over this text"),
            Self::Origin { expected, found } => write!(f, "a checkpoint of {found:?}, not of {expected:?}"),
        }
    }
}

impl std::error::Error for NoteError {}
