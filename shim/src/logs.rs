//! The agent's log: bounded by the line and by the run, and what is dropped is counted.

use serde_json::{Value, json};
use stockade_wire::frame::Level;

/// Longest line kept, in bytes.
pub const MAX_LINE: usize = 8 * 1024;

/// What a record costs besides its text, in bytes: empty lines are not free.
const OVERHEAD: u64 = 256;

/// What the run may still log.
#[derive(Debug)]
pub struct LogBudget {
    left: u64,
    lines_dropped: u64,
    bytes_dropped: u64,
}

/// A line that is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// The text, cut to [`MAX_LINE`].
    pub message: String,
    /// Bytes cut.
    pub dropped: u64,
}

impl LogBudget {
    /// A budget of `bytes`, counting each line's text and a fixed overhead.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self { left: bytes, lines_dropped: 0, bytes_dropped: 0 }
    }

    /// The line as it is kept, or `None` if the budget is spent.
    pub fn admit(&mut self, mut message: String) -> Option<Kept> {
        let whole = message.len();
        cut(&mut message, MAX_LINE);
        let cost = message.len() as u64 + OVERHEAD;
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                let dropped = (whole - message.len()) as u64;
                Some(Kept { message, dropped })
            }
            None => {
                // Later, shorter lines must not slip in between: a gap would not show.
                self.left = 0;
                self.lines_dropped += 1;
                self.bytes_dropped += whole as u64;
                None
            }
        }
    }

    /// What was dropped, for the end of the journal; `None` if nothing was.
    #[must_use]
    pub fn dropped(&self) -> Option<Value> {
        (self.lines_dropped > 0).then(|| json!({ "lines": self.lines_dropped, "bytes": self.bytes_dropped }))
    }
}

/// Cuts text to at most `limit` bytes, between characters.
pub fn cut(text: &mut String, limit: usize) {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// The level as journal and control socket say it.
#[must_use]
pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_between_characters() {
        let mut budget = LogBudget::new(1 << 20);
        let kept = budget.admit("é".repeat(MAX_LINE)).unwrap();
        assert_eq!((kept.message.len(), kept.dropped), (MAX_LINE, MAX_LINE as u64));
        let kept = budget.admit(format!("x{}", "é".repeat(MAX_LINE))).unwrap();
        assert_eq!(kept.message.len(), MAX_LINE - 1);
    }

    #[test]
    fn a_spent_budget_counts_and_stays_spent() {
        let mut budget = LogBudget::new(2 * OVERHEAD + 5);
        assert!(budget.admit(String::new()).is_some());
        assert!(budget.admit("123456".into()).is_none());
        assert!(budget.admit(String::new()).is_none());
        assert_eq!(budget.dropped().unwrap(), json!({ "lines": 2, "bytes": 6 }));
    }
}
