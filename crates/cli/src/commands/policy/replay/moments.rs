//! What was true beside each recorded call.

use std::time::Duration;

use stockade_journal::Call;
use stockade_policy::{Facts, Rates};

/// Layer of a policy's own numbers.
const LIMIT: &str = "limit";

/// The clock and the counts of a recorded run.
#[derive(Debug, Default)]
pub struct Moments {
    /// Microseconds since 1970 of the first call: counts of calls want a clock that begins somewhere.
    begun: Option<i64>,
    rates: Rates,
    decided: u64,
}

impl Moments {
    /// What was true beside a call of this moment (microseconds since 1970), which is counted now. Calls over their
    /// run's number were not decided, and not counted by the shim.
    pub fn facts(&mut self, call: &Call, now: i64) -> Facts {
        let tool = Some(call.tool.as_str());
        let since = now.saturating_sub(*self.begun.get_or_insert(now));
        let at = Duration::from_micros(u64::try_from(since).unwrap_or(0));
        let calls = self.rates.counts(tool, at);
        if call.layer != LIMIT {
            self.rates.count(tool, at);
            self.decided += 1;
        }
        Facts { approved: false, now: u64::try_from(now.div_euclid(1_000_000)).unwrap_or(0), calls }
    }

    /// Calls that were decided.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.decided
    }
}
