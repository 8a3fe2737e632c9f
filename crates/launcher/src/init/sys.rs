//! The unsafe code of `stockade-init`.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};

/// Takes ownership of descriptor 3, close-on-exec.
pub fn take_status_pipe() -> OwnedFd {
    // SAFETY: fcntl(2) with numbers only.
    unsafe { libc::fcntl(3, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: called once, first thing in main; the plan gives descriptor 3 to this program alone.
    unsafe { OwnedFd::from_raw_fd(3) }
}

/// fork(2).
pub fn fork() -> Result<ForkResult, Errno> {
    // SAFETY: this program has one thread, so the child may go on as an ordinary program.
    unsafe { nix::unistd::fork() }
}

/// SIGPIPE to its default.
pub fn default_sigpipe() -> Result<(), Errno> {
    // SAFETY: SIG_DFL installs no handler.
    match unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) } {
        libc::SIG_ERR => Err(Errno::last()),
        _ => Ok(()),
    }
}

/// wait(2) for any child: its pid and raw status.
pub fn wait_any() -> Result<(Pid, i32), Errno> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    match unsafe { libc::wait(&raw mut status) } {
        -1 => Err(Errno::last()),
        pid => Ok((Pid::from_raw(pid), status)),
    }
}

/// _exit(2).
pub fn exit_now(code: i32) -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::_exit(code) }
}
