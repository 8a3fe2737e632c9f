//! Folding of repeats, so that a flood of refused syscalls costs counts and not lines.
//!
//! A line stands for itself and for `repeated` more of its kind: over a whole journal the sum of
//! `1 + repeated` is the number of notifications, exactly.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stockade_journal::Syscall;
use stockade_wire::control::CellId;

use super::names::{arch_name, known, syscall_name};
use crate::sys::unotify::Notification;

/// Notifications of one kind that get a line each, before folding begins.
pub const SHOWN: u32 = 64;

/// First and longest time a count waits for its line; it doubles from one to the other, so that an
/// hour of flooding is some sixty lines a kind.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(64);

/// What is counted as the same. Numbers that no syscall has are one kind, because there are four
/// thousand million of them; the line says the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Known(u32, i32),
    Unknown,
}

#[derive(Debug)]
struct Count {
    shown: u32,
    waiting: Option<Waiting>,
    wait: Duration,
}

#[derive(Debug)]
struct Waiting {
    last: Syscall,
    more: u64,
    due: Instant,
}

/// Counts by cell and kind.
#[derive(Debug, Default)]
pub struct Fold {
    counts: BTreeMap<(CellId, Kind), Count>,
    total: u64,
}

impl Fold {
    /// Takes note of one notification; gives its line if it gets one of its own.
    pub fn note(&mut self, cell: CellId, call: Option<u64>, seen: &Notification, now: Instant) -> Option<Syscall> {
        self.total += 1;
        let kind = match known(seen.arch, seen.nr) {
            Some(_) => Kind::Known(seen.arch, seen.nr),
            None => Kind::Unknown,
        };
        let fresh = || Count { shown: 0, waiting: None, wait: FIRST_WAIT };
        let count = self.counts.entry((cell, kind)).or_insert_with(fresh);
        if count.shown < SHOWN {
            count.shown += 1;
            return Some(line(cell, call, seen));
        }
        match &mut count.waiting {
            Some(waiting) => {
                waiting.last = line(cell, call, seen);
                waiting.more += 1;
            }
            None => {
                let last = line(cell, call, seen);
                count.waiting = Some(Waiting { last, more: 0, due: now + count.wait });
                count.wait = (count.wait * 2).min(LONGEST_WAIT);
            }
        }
        None
    }

    /// Lines whose time has come.
    pub fn due(&mut self, now: Instant) -> Vec<Syscall> {
        self.take(|_, waiting| waiting.due <= now)
    }

    /// All lines of a cell that has ended; its counts are forgotten.
    pub fn end(&mut self, cell: CellId) -> Vec<Syscall> {
        let lines = self.take(|of, _| of == cell);
        self.counts.retain(|(of, _), _| *of != cell);
        lines
    }

    /// All lines.
    pub fn all(&mut self) -> Vec<Syscall> {
        self.take(|_, _| true)
    }

    fn take(&mut self, which: impl Fn(CellId, &Waiting) -> bool) -> Vec<Syscall> {
        let chosen = |(key, count): (&(CellId, Kind), &mut Count)| {
            let waiting = count.waiting.take_if(|waiting| which(key.0, waiting))?;
            Some(Syscall { repeated: waiting.more, ..waiting.last })
        };
        self.counts.iter_mut().filter_map(chosen).collect()
    }

    /// When [`Self::due`] has something next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.counts.values().filter_map(|count| Some(count.waiting.as_ref()?.due)).min()
    }

    /// Notifications noted so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

fn line(cell: CellId, call: Option<u64>, seen: &Notification) -> Syscall {
    Syscall {
        cell,
        nr: i64::from(seen.nr),
        name: syscall_name(seen.arch, seen.nr),
        arch: arch_name(seen.arch),
        args: seen.args.iter().map(|arg| format!("{arg:#x}")).collect(),
        pid: seen.pid,
        verdict: "deny".to_owned(),
        errno: "EPERM".to_owned(),
        call,
        repeated: 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::notify::names::X86_64;

    fn seen(nr: i32) -> Notification {
        Notification { id: 1, pid: 2, nr, arch: X86_64, args: [7; 6] }
    }
    fn stands_for(lines: &[Syscall]) -> u64 {
        lines.iter().map(|l| 1 + l.repeated).sum()
    }

    #[test]
    fn a_flood_is_counted_exactly() {
        let (mut fold, start) = (Fold::default(), Instant::now());
        let mut lines = Vec::new();
        for n in 0..100_000u32 {
            let now = start + Duration::from_millis(u64::from(n) / 10);
            lines.extend(fold.note(0, None, &seen(110), now));
            lines.extend(fold.due(now));
        }
        lines.extend(fold.end(0));
        assert_eq!(stands_for(&lines), 100_000);
        assert_eq!(fold.total(), 100_000);
        // 64, then one after 1, 2, 4 seconds, and the rest.
        assert_eq!(lines.len(), SHOWN as usize + 4);
        assert_eq!(fold.deadline(), None);
    }

    #[test]
    fn kinds_and_cells_are_counted_apart() {
        let (mut fold, now) = (Fold::default(), Instant::now());
        for _ in 0..SHOWN {
            assert!(fold.note(0, None, &seen(110), now).is_some());
        }
        assert!(fold.note(0, None, &seen(110), now).is_none());
        assert!(fold.note(1, Some(4), &seen(110), now).is_some_and(|l| l.call == Some(4)));
        assert!(fold.note(0, None, &seen(111), now).is_some());
        assert_eq!(fold.due(now), []);
        assert_eq!(fold.deadline(), Some(now + FIRST_WAIT));
        assert_eq!(fold.due(now + FIRST_WAIT).len(), 1);
    }

    #[test]
    fn numbers_without_a_syscall_are_one_kind() {
        let (mut fold, now) = (Fold::default(), Instant::now());
        let lines: Vec<_> = (10_000..20_000).filter_map(|nr| fold.note(0, None, &seen(nr), now)).collect();
        assert_eq!(lines.len(), SHOWN as usize);
        let rest = fold.all();
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0].name, "syscall_19999");
        assert_eq!(stands_for(&lines) + stands_for(&rest), 10_000);
    }
}
