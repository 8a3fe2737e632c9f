//! What the notary is to sign: the leaf hashes of durable records, told to the supervisor in batches.
//!
//! A head is signed soon after its records are durable, never before: what is signed is on disk.

use std::time::{Duration, Instant};

use stockade_journal::hex;
use stockade_journal::tree::Hash;
use stockade_wire::notary::MAX_LEAVES;

/// Longest time a durable record stays untold. Whoever rewrites a journal as root can still change what is younger.
const TELL: Duration = Duration::from_millis(500);

/// Leaf hashes on their way to the notary.
#[derive(Debug, Default)]
pub struct Heads {
    /// Leaves that were told.
    told: u64,
    /// Leaves after those, in order.
    untold: Vec<Hash>,
    /// How many of them are durable.
    durable: usize,
    /// When the oldest of these became durable.
    since: Option<Instant>,
}

impl Heads {
    /// After records that the notary has.
    #[must_use]
    pub fn after(told: u64) -> Self {
        Self { told, ..Self::default() }
    }

    /// A record was written.
    pub fn written(&mut self, leaf: Hash) {
        self.untold.push(leaf);
    }

    /// Everything that was written is durable.
    pub fn durable(&mut self, now: Instant) {
        self.durable = self.untold.len();
        if self.durable > 0 {
            self.since.get_or_insert(now);
        }
    }

    /// When [`Self::due`] has something to tell.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + TELL)
    }

    /// Durable leaves that have waited for long enough, or fill a message: the number of the first (from 1) and
    /// their hashes in hex.
    #[must_use]
    pub fn due(&mut self, now: Instant) -> Option<(u64, Vec<String>)> {
        let full = self.durable >= MAX_LEAVES;
        if full || self.deadline().is_some_and(|due| due <= now) { self.take() } else { None }
    }

    /// Durable leaves, whether due or not.
    #[must_use]
    pub fn take(&mut self) -> Option<(u64, Vec<String>)> {
        let count = self.durable.min(MAX_LEAVES);
        if count == 0 {
            return None;
        }
        let first = self.told + 1;
        let leaves = self.untold.drain(..count).map(|leaf| hex(&leaf)).collect();
        self.told += count as u64;
        self.durable -= count;
        if self.durable == 0 {
            self.since = None;
        }
        Some((first, leaves))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_durable_is_told_in_order_and_once() {
        let mut heads = Heads::default();
        let now = Instant::now();
        heads.written([1; 32]);
        heads.written([2; 32]);
        assert_eq!(heads.take(), None);
        heads.durable(now);
        heads.written([3; 32]);
        assert_eq!(heads.due(now), None);
        assert_eq!(heads.deadline(), Some(now + TELL));
        assert_eq!(heads.due(now + TELL), Some((1, vec!["01".repeat(32), "02".repeat(32)])));
        assert_eq!((heads.deadline(), heads.take()), (None, None));
        heads.durable(now);
        assert_eq!(heads.take(), Some((3, vec!["03".repeat(32)])));
    }

    #[test]
    fn a_message_has_a_bound_and_a_full_one_does_not_wait() {
        let mut heads = Heads::default();
        let now = Instant::now();
        for _ in 0..=MAX_LEAVES {
            heads.written([7; 32]);
        }
        heads.durable(now);
        assert_eq!(heads.due(now).map(|(first, leaves)| (first, leaves.len())), Some((1, MAX_LEAVES)));
        assert_eq!(heads.due(now), None);
        assert_eq!(heads.take().map(|(first, leaves)| (first, leaves.len())), Some((MAX_LEAVES as u64 + 1, 1)));
    }
}
