//! Dispositions a mediator needs.

use nix::sys::signal::{SigHandler, Signal, signal};

/// Ignores the signals that would turn a failed write into a silent death: `SIGPIPE` (a peer that
/// hung up) and `SIGXFSZ` (a file over `RLIMIT_FSIZE`). Both then show as errno, which is handled.
///
/// # Errors
/// What sigaction(2) says.
pub fn ignore_write_signals() -> nix::Result<()> {
    for which in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: SIG_IGN installs no handler, so no code of ours can run in signal context.
        unsafe { signal(which, SigHandler::SigIgn) }?;
    }
    Ok(())
}
