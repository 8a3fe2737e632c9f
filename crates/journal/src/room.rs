//! How many bytes a journal may have.

use std::cell::Cell;

use crate::error::JournalError;

/// Bytes of lines and blobs together, and the bound on them.
#[derive(Debug)]
pub(crate) struct Room {
    used: Cell<u64>,
    allowed: Cell<u64>,
}

impl Room {
    /// Room without a bound.
    pub(crate) fn endless() -> Self {
        Self { used: Cell::new(0), allowed: Cell::new(u64::MAX) }
    }

    pub(crate) fn allow(&self, bytes: u64) {
        self.allowed.set(bytes);
    }

    /// What a journal that goes on has already.
    pub(crate) fn begin_at(&self, used: u64) {
        self.used.set(used);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.get()
    }

    /// Takes `bytes` of it, before they are written; nothing is taken if they are too many.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), JournalError> {
        let (used, allowed) = (self.used.get(), self.allowed.get());
        let after = used.saturating_add(bytes as u64);
        if after > allowed {
            return Err(JournalError::Full { used, bytes, allowed });
        }
        self.used.set(after);
        Ok(())
    }

    /// Gives back what was taken since `used` was that, for bytes that were not written.
    pub(crate) fn give_back_to(&self, used: u64) {
        self.used.set(used);
    }
}
