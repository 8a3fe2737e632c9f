//! The wall-clock limit, as every wait in the cell sees it.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// No deadline before `Start`; one instant after it. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Deadline(Arc<OnceLock<Instant>>);

/// Why a wait ended without what it waited for.
#[derive(Debug)]
pub(super) enum Waited {
    /// The deadline passed.
    Expired,
    /// poll(2) failed.
    Failed(Errno),
}

impl Deadline {
    /// Starts the clock, once; later calls change nothing.
    pub(super) fn start(&self, limit: Duration) -> Option<Instant> {
        let at = Instant::now().checked_add(limit)?;
        Some(*self.0.get_or_init(|| at))
    }

    /// Waits until `fd` is ready for `events`, or has an error or an end to tell.
    pub(super) fn wait(&self, fd: BorrowedFd<'_>, events: PollFlags) -> Result<(), Waited> {
        loop {
            let timeout = match self.0.get() {
                None => PollTimeout::NONE,
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Waited::Expired);
                    }
                    // Rounded up, so that a rest of less than a millisecond does not spin.
                    PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
                }
            };
            match poll(&mut [PollFd::new(fd, events)], timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(e) => return Err(Waited::Failed(e)),
            }
        }
    }
}
