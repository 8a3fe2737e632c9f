//! What is known of a run while its records are read in order.

use std::collections::VecDeque;

use stockade_journal::{Call, Entry, Record, Start};

/// Calls without a result that are remembered. A shim has one at a time; a crash may leave more.
const OPEN: usize = 64;

/// A run as far as it was read.
#[derive(Debug)]
pub struct Scene {
    /// Its id, as the state folder has it.
    pub run: String,
    /// What was launched; `None` until its record is read.
    pub start: Option<Box<Start>>,
    open: VecDeque<Under>,
    ended: bool,
}

/// The call that another record belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Under {
    /// Number of its record.
    pub seq: u64,
    /// The call.
    pub call: Call,
}

impl Scene {
    /// A run of which nothing was read.
    #[must_use]
    pub fn new(run: &str) -> Self {
        Self { run: run.to_owned(), start: None, open: VecDeque::new(), ended: false }
    }

    /// Takes notice of a record, and gives the call it belongs to.
    pub fn read(&mut self, entry: &Entry) -> Option<Under> {
        self.ended = false;
        match &entry.record {
            Record::Start(start) => self.start = Some(start.clone()),
            Record::Call(call) => {
                if self.open.len() == OPEN {
                    self.open.pop_front();
                }
                self.open.push_back(Under { seq: entry.seq, call: call.clone() });
            }
            Record::Result(outcome) => {
                let at = self.open.iter().rposition(|open| open.call.id == outcome.id)?;
                return self.open.remove(at);
            }
            Record::Syscall(syscall) => {
                let id = syscall.call?;
                return self.open.iter().rev().find(|open| open.call.id == id).cloned();
            }
            Record::Lifecycle { event, .. } => self.ended = matches!(event.as_str(), "exit" | "reclaimed"),
            Record::Approval(_) | Record::Log { .. } | Record::Recovered { .. } | Record::Tombstone { .. } => {}
        }
        None
    }

    /// Whether the last record was one that ends a run.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}
