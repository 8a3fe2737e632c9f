//! Failures with the lines around them.

/// Most failures that are kept with their lines.
const MAX_FAILURES: usize = 100;
/// Most lines of one failure.
const MAX_LINES: usize = 14;
/// Longest line of one failure in bytes.
const MAX_LINE: usize = 400;

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) time: String,
    /// The package, if the log names it.
    pub(crate) subject: String,
    pub(crate) what: String,
    /// File and line number.
    pub(crate) place: String,
    pub(crate) context: Vec<String>,
}

impl Failure {
    pub(crate) fn add(&mut self, line: &str) {
        if self.context.len() < MAX_LINES {
            self.context.push(crate::text::clean(line, MAX_LINE));
        }
    }
}

/// The first ones, and how many more there were.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    pub(crate) kept: Vec<Failure>,
    pub(crate) dropped: u64,
}

impl Failures {
    pub(crate) fn add(&mut self, failure: Failure) {
        if self.kept.len() < MAX_FAILURES {
            self.kept.push(failure);
        } else {
            self.dropped += 1;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.kept.len() as u64 + self.dropped
    }
}
