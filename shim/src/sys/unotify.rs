//! The supervisor's side of seccomp user notification (seccomp_unotify(2)).
//!
//! There is no way to answer "continue" from here: the only reply this module can form is an errno.

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Not public: callers get [`receive`] and [`refuse`], which hold the invariants.
mod ioctl {
    nix::ioctl_readwrite!(recv, b'!', 0, libc::seccomp_notif);
    nix::ioctl_readwrite!(send, b'!', 1, libc::seccomp_notif_resp);
}

/// One suspended syscall. Pointers among the arguments are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// Names this suspension in the answer.
    pub id: u64,
    /// Caller's thread id in this process's pid namespace; 0 if it is not visible there.
    pub pid: u32,
    /// Number, as the caller's architecture counts.
    pub nr: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Raw argument registers.
    pub args: [u64; 6],
}

/// Checks that the kernel's structures have the size this program was built with, so that
/// [`receive`] can hand the kernel a buffer of exactly that size.
///
/// # Errors
/// What seccomp(2) says; `EPROTO` if the sizes differ.
pub fn check_sizes() -> nix::Result<()> {
    let mut sizes = libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    // SAFETY: SECCOMP_GET_NOTIF_SIZES writes one seccomp_notif_sizes to its third argument, which
    // is an exclusive borrow of exactly that type, and has no other effect.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &raw mut sizes) };
    Errno::result(answer)?;
    let same = usize::from(sizes.seccomp_notif) == size_of::<libc::seccomp_notif>()
        && usize::from(sizes.seccomp_notif_resp) == size_of::<libc::seccomp_notif_resp>()
        && usize::from(sizes.seccomp_data) == size_of::<libc::seccomp_data>();
    if same { Ok(()) } else { Err(Errno::EPROTO) }
}

/// Takes the next notification. Call it only after poll(2) said `POLLIN`: it may block otherwise.
///
/// # Errors
/// `ENOENT` if the caller died or was interrupted meanwhile; what ioctl(2) says else.
pub fn receive(listener: impl AsFd) -> nix::Result<Notification> {
    let data = libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] };
    let mut notif = libc::seccomp_notif { id: 0, pid: 0, flags: 0, data };
    // SAFETY: the request number encodes size_of::<seccomp_notif>(), `check_sizes` proved at start
    // that the running kernel writes no more, and the buffer is all zeros as the kernel demands.
    unsafe { ioctl::recv(listener.as_fd().as_raw_fd(), &raw mut notif) }?;
    Ok(Notification { id: notif.id, pid: notif.pid, nr: notif.data.nr, arch: notif.data.arch, args: notif.data.args })
}

/// Lets the suspended syscall fail with `errno`.
///
/// # Errors
/// `ENOENT` if the caller is gone (then nothing is left to refuse); what ioctl(2) says else.
pub fn refuse(listener: impl AsFd, id: u64, errno: Errno) -> nix::Result<()> {
    // `flags` stays 0: SECCOMP_USER_NOTIF_FLAG_CONTINUE would let the kernel run the syscall.
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error: -(errno as i32), flags: 0 };
    // SAFETY: the request number encodes size_of::<seccomp_notif_resp>(), which the kernel reads
    // from this exclusive borrow and does not keep.
    unsafe { ioctl::send(listener.as_fd().as_raw_fd(), &raw mut answer) }?;
    Ok(())
}
