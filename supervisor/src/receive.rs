//! One datagram with at most a few descriptors (unix(7)).

use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

/// Receives one datagram and one descriptor, if it has one.
pub(crate) fn receive_with_fd(
    socket: impl AsFd,
    bytes: &mut IoSliceMut<'_>,
) -> Result<(usize, Option<OwnedFd>), Errno> {
    // rustix, because it gives received descriptors as owned ones; nix gives numbers.
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(&socket, std::slice::from_mut(bytes), &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Errno::from_raw(error.raw_os_error())),
        }
    };
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::EMSGSIZE);
    }
    Ok((received.bytes, fds.into_iter().next()))
}
