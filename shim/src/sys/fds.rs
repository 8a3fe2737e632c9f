//! Adopting descriptors that came from outside this program's own code.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// Descriptors accepted with one datagram; more than this cuts the message (`MSG_CTRUNC`).
pub const MAX_RIGHTS: usize = 4;

/// Numbers below this can be adopted, each at most once.
const ADOPTABLE: RawFd = 64;
static ADOPTED: AtomicU64 = AtomicU64::new(0);

/// Takes ownership of an inherited descriptor and marks it close-on-exec.
///
/// # Errors
/// `EBADF` if `fd` is not open or not in 3..64, `EBUSY` if it was adopted before.
pub fn inherited(fd: RawFd) -> nix::Result<OwnedFd> {
    if !(3..ADOPTABLE).contains(&fd) {
        return Err(Errno::EBADF);
    }
    // SAFETY: F_SETFD takes no pointer and changes nothing but a flag of the descriptor table; for a
    // number that is not open the kernel answers EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    let bit = 1u64 << fd;
    if ADOPTED.fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: the descriptor is open (F_SETFD succeeded) and has no other owner: it was inherited
    // through exec, and `ADOPTED` hands out each number once in the life of the process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One datagram, and what came with it.
#[derive(Debug)]
pub struct Datagram {
    /// Bytes received; 0 means the peer is gone.
    pub len: usize,
    /// The datagram or its descriptors did not fit.
    pub cut: bool,
    /// Descriptors that came with it, close-on-exec.
    pub rights: Vec<OwnedFd>,
}

/// Receives one datagram without blocking, with up to [`MAX_RIGHTS`] descriptors (unix(7)).
///
/// # Errors
/// What recvmsg(2) says; `EAGAIN` if nothing is there.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> nix::Result<Datagram> {
    let mut space = nix::cmsg_space!([RawFd; MAX_RIGHTS]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut rights = Vec::new();
    let mut cut = message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    match message.cmsgs() {
        Ok(messages) => {
            for part in messages {
                if let ControlMessageOwned::ScmRights(fds) = part {
                    for fd in fds {
                        // SAFETY: the kernel has just installed `fd` in our table for this message
                        // (unix(7), SCM_RIGHTS); nobody else knows the number.
                        rights.push(unsafe { OwnedFd::from_raw_fd(fd) });
                    }
                }
            }
        }
        // nix says ENOBUFS for a cut control buffer; the descriptors in it are lost to us.
        Err(_) => cut = true,
    }
    Ok(Datagram { len: message.bytes, cut, rights })
}
