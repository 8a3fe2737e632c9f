//! The operator's signals, as a descriptor to poll.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Doing, RunError};

/// SIGINT, SIGTERM and SIGHUP end the run in order; children start with an empty mask.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

impl Signals {
    pub(super) fn catch() -> Result<Self, RunError> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        // A limit on file sizes shall be an error of the write, not the end of whoever cleans up.
        let mut blocked = set;
        blocked.add(Signal::SIGXFSZ);
        blocked.thread_block().doing("block", "signals")?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        fd.map(Self).doing("make", "signalfd")
    }

    /// A signal that has arrived.
    pub(super) fn next(&mut self) -> Option<i32> {
        let info = self.0.read_signal().ok().flatten()?;
        i32::try_from(info.ssi_signo).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
