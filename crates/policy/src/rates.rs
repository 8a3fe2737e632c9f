//! How many calls there were: what a policy's `context.calls` says.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::facts::Counts;

/// What `minute` means.
const WINDOW: Duration = Duration::from_secs(60);

/// The window is kept in parts of this length: memory is bounded by their number, not by the calls'.
const PART: Duration = Duration::from_secs(1);

/// Calls of tools by name. A name that is no tool's is no rule's business, but is one of all: whoever counts what an agent
/// names must tell, or memory is the agent's to fill. Moments are told as the time
/// since one of the caller's choice, by a clock that does not step back: a shim has such a clock, and who decides
/// recorded calls again has their records' times.
#[derive(Debug, Default)]
pub struct Rates {
    total: u64,
    tools: HashMap<String, u64>,
    /// Parts with calls in them, oldest first.
    parts: VecDeque<Part>,
}

#[derive(Debug)]
struct Part {
    begun: Duration,
    all: u64,
    tools: HashMap<String, u64>,
}

impl Rates {
    /// Calls before this one.
    pub fn counts(&mut self, tool: Option<&str>, now: Duration) -> Counts {
        // A part counts until its last call may be a window old: a limit holds a second longer, never shorter.
        while self.parts.front().is_some_and(|part| now.saturating_sub(part.begun) >= WINDOW + PART) {
            self.parts.pop_front();
        }
        let of = |tools: &HashMap<String, u64>| tool.and_then(|tool| tools.get(tool).copied()).unwrap_or(0);
        Counts {
            total: self.total,
            tool: of(&self.tools),
            minute: self.parts.iter().map(|part| of(&part.tools)).sum(),
            minute_all: self.parts.iter().map(|part| part.all).sum(),
        }
    }

    /// One more call.
    pub fn count(&mut self, tool: Option<&str>, now: Duration) {
        self.total += 1;
        if self.parts.back().is_none_or(|part| now.saturating_sub(part.begun) >= PART) {
            self.parts.push_back(Part { begun: now, all: 0, tools: HashMap::new() });
        }
        let part = self.parts.back_mut();
        if let Some(tool) = tool {
            add(&mut self.tools, tool);
        }
        if let Some(part) = part {
            part.all += 1;
            if let Some(tool) = tool {
                add(&mut part.tools, tool);
            }
        }
    }
}

/// A name is kept once.
fn add(tools: &mut HashMap<String, u64>, tool: &str) {
    match tools.get_mut(tool) {
        Some(count) => *count += 1,
        None => {
            tools.insert(tool.to_owned(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_for_a_minute_and_in_its_run() {
        let mut rates = Rates::default();
        let at = |ms| Duration::from_hours(1) + Duration::from_millis(ms);
        assert_eq!(rates.counts(Some("workspace.read"), at(0)), Counts::default());
        rates.count(Some("workspace.read"), at(0));
        rates.count(Some("workspace.read"), at(500));
        rates.count(Some("clock"), at(30_000));
        rates.count(None, at(30_100));
        let counts = |total, tool, minute, minute_all| Counts { total, tool, minute, minute_all };
        assert_eq!(rates.counts(Some("workspace.read"), at(59_999)), counts(4, 2, 2, 4));
        assert_eq!(rates.counts(Some("clock"), at(59_999)), counts(4, 1, 1, 4));
        assert_eq!(rates.counts(None, at(59_999)), counts(4, 0, 0, 4));
        assert_eq!(
            rates.counts(Some("workspace.read"), at(60_499)),
            counts(4, 2, 2, 4),
            "the second one is not a minute old"
        );
        assert_eq!(rates.counts(Some("workspace.read"), at(61_000)), counts(4, 2, 0, 2));
        assert_eq!(rates.counts(Some("workspace.read"), at(91_100)), counts(4, 2, 0, 0));
    }

    #[test]
    fn memory_is_bounded_by_the_window() {
        let mut rates = Rates::default();
        for call in 0..100_000 {
            let now = Duration::from_millis(call * 10);
            let _ = rates.counts(Some("workspace.read"), now);
            rates.count(Some("workspace.read"), now);
        }
        assert!(rates.parts.len() <= 62, "{}", rates.parts.len());
    }
}
