//! An error with its exit code.

use std::path::Path;

use stockade_supervisor::RunError;

use crate::screen::plain;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// The documented exit code.
    pub code: u8,
    /// For the operator; empty where there is nobody to read it.
    pub message: String,
}

impl Failure {
    /// Something that cannot happen did.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        Self { code: 1, message: format!("internal error: {error}; please report this") }
    }

    /// The command line asks for something that does not go together.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// A file could not be used.
    #[must_use]
    pub fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self { code: 1, message: plain(&format!("cannot {doing} {}: {error}", path.display())) }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        // It names files as they were given, and may quote what a jailed process said.
        Self { code: error.exit_code(), message: plain(&error.to_string()) }
    }
}

impl From<std::io::Error> for Failure {
    /// Errors of standard output. A closed pipe is the reader's choice and not worth a word.
    fn from(error: std::io::Error) -> Self {
        let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        let message = if closed { String::new() } else { format!("standard output: {error}") };
        Self { code: if closed { 0 } else { 1 }, message }
    }
}
