//! The listeners, and the one answer they give.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use stockade_journal::Record;
use stockade_wire::control::CellId;

use super::Fold;
use crate::error::ShimError;
use crate::ledger::Ledger;
use crate::sys::unotify;

/// Notifications answered before other descriptors get their turn.
const BATCH: usize = 64;

/// A cell's listener.
#[derive(Debug)]
pub struct Watch {
    /// Whose.
    pub cell: CellId,
    listener: OwnedFd,
    done: bool,
}

impl Watch {
    /// Watches one listener.
    #[must_use]
    pub fn new(cell: CellId, listener: OwnedFd) -> Self {
        Self { cell, listener, done: false }
    }

    /// Nothing more will come: the last process under the filter is gone.
    pub fn finish(&mut self) {
        self.done = true;
    }

    /// Nothing more will come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// For poll(2).
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Records and refuses what waits, after poll(2) said that something does.
    ///
    /// # Errors
    /// If a record cannot be written; the syscall was refused all the same.
    pub fn serve(&self, call: Option<u64>, fold: &mut Fold, ledger: &mut Ledger) -> Result<(), ShimError> {
        for _ in 0..BATCH {
            let Some(seen) = self.next()? else { return Ok(()) };
            let line = fold.note(self.cell, call, &seen, Instant::now());
            let recorded = line.map_or(Ok(()), |line| ledger.append(Record::Syscall(line)));
            // Whatever became of the record: nothing but a refusal leaves this function.
            let refused = refuse(&self.listener, seen.id);
            recorded.and(refused)?;
        }
        Ok(())
    }

    fn next(&self) -> Result<Option<unotify::Notification>, ShimError> {
        while waits(&self.listener)? {
            match unotify::receive(&self.listener) {
                Ok(seen) => return Ok(Some(seen)),
                // The caller died, or a signal took it out of the call, before it was taken note of:
                // the syscall did not happen.
                Err(Errno::ENOENT | Errno::EINTR) => {}
                Err(errno) => return Err(ShimError::Os { what: "receiving a seccomp notification", errno }),
            }
        }
        Ok(None)
    }
}

/// Refuses one waiting notification without a record: for the end, when none can be written.
///
/// # Errors
/// What the kernel says.
pub fn deny_unrecorded(watch: &Watch) -> Result<(), ShimError> {
    match watch.next()? {
        Some(seen) => refuse(&watch.listener, seen.id),
        None => Ok(()),
    }
}

fn refuse(listener: &OwnedFd, id: u64) -> Result<(), ShimError> {
    loop {
        match unotify::refuse(listener, id, Errno::EPERM) {
            Ok(()) => return Ok(()),
            // The caller is gone, and with it what was to be refused.
            Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(ShimError::Os { what: "answering a seccomp notification", errno }),
        }
    }
}

fn waits(listener: &OwnedFd) -> Result<bool, ShimError> {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(ShimError::Os { what: "poll", errno }),
    }
    let [fd] = fds;
    Ok(fd.revents().is_some_and(|events| events.contains(PollFlags::POLLIN)))
}
