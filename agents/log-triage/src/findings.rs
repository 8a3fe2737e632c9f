//! What was found so far. Every collection has a bound, and says when it was reached.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::failures::Failures;

/// Most packages whose state is followed.
const MAX_PACKAGES: usize = 50_000;
/// Most days that are counted.
const MAX_DAYS: usize = 4_000;
/// Most transactions in the timeline; older ones go first.
const MAX_TRANSACTIONS: usize = 200;

/// What happened to packages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) installed: u64,
    pub(crate) upgraded: u64,
    pub(crate) removed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn total(&self) -> u64 {
        self.installed + self.upgraded + self.removed + self.failed
    }
}

/// The last that the logs say about a package.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// dpkg's word: `installed`, `half-configured`, …
    pub(crate) state: String,
    /// Of the last event.
    pub(crate) version: String,
    /// Of the last event.
    pub(crate) time: String,
    /// Of its last upgrade: from and to.
    pub(crate) upgrade: Option<(String, String)>,
    /// It was installed anew in the time that the logs cover.
    pub(crate) new: bool,
}

/// One run of apt.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) start: String,
    pub(crate) command: String,
    pub(crate) user: String,
    pub(crate) counts: Counts,
    pub(crate) error: Option<String>,
    /// It has no end in the log.
    pub(crate) open: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) packages: BTreeMap<String, Package>,
    pub(crate) packages_dropped: u64,
    /// Packages in the midst of something; a dpkg that starts finds what the one before left.
    pub(crate) half_done: BTreeSet<String>,
    pub(crate) days: BTreeMap<String, Counts>,
    pub(crate) totals: Counts,
    pub(crate) transactions: VecDeque<Transaction>,
    pub(crate) transactions_dropped: u64,
    pub(crate) failures: Failures,
    pub(crate) first: Option<String>,
    pub(crate) last: Option<String>,
}

impl Findings {
    /// The package's record; `None` if there are too many.
    pub(crate) fn package(&mut self, name: &str) -> Option<&mut Package> {
        if self.packages.len() >= MAX_PACKAGES && !self.packages.contains_key(name) {
            self.packages_dropped += 1;
            return None;
        }
        Some(self.packages.entry(name.to_owned()).or_default())
    }

    /// Counts for a day and in all. `time` starts with the date.
    pub(crate) fn count(&mut self, time: &str, add: impl Fn(&mut Counts)) {
        add(&mut self.totals);
        self.seen(time);
        let day = time.get(..10).unwrap_or(time);
        add(self.days.entry(day.to_owned()).or_default());
        if self.days.len() > MAX_DAYS {
            self.days.pop_first();
        }
    }

    /// The time that the logs cover.
    pub(crate) fn seen(&mut self, time: &str) {
        if self.first.as_deref().is_none_or(|first| time < first) {
            self.first = Some(time.to_owned());
        }
        if self.last.as_deref().is_none_or(|last| time > last) {
            self.last = Some(time.to_owned());
        }
    }

    pub(crate) fn transaction(&mut self, transaction: Transaction) {
        self.transactions.push_back(transaction);
        if self.transactions.len() > MAX_TRANSACTIONS {
            self.transactions.pop_front();
            self.transactions_dropped += 1;
        }
    }

    /// Packages that the logs leave in a state that needs a hand.
    pub(crate) fn broken(&self) -> impl Iterator<Item = (&String, &Package)> {
        self.packages.iter().filter(|(_, p)| {
            matches!(
                p.state.as_str(),
                "half-configured" | "half-installed" | "unpacked" | "triggers-awaited" | "triggers-pending"
            )
        })
    }
}
