//! The supervisor's end of the control socket (stockade_wire::control).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use stockade_wire::control::{MAX_MESSAGE, ToShim, ToSupervisor};

use crate::error::{Doing, RunError};
use crate::receive::receive_with_fd;

/// A shim to talk to.
#[derive(Debug)]
pub(super) struct Control(OwnedFd);

impl Control {
    /// A socket pair: ours and the shim's.
    pub(super) fn pair() -> Result<(Self, OwnedFd), RunError> {
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
        let (ours, theirs) = pair.doing("make", "control socket")?;
        Ok((Self(ours), theirs))
    }

    /// Sends a message with its descriptors.
    pub(super) fn send(&self, message: &ToShim, fds: &[BorrowedFd<'_>]) -> Result<(), RunError> {
        let text = serde_json::to_vec(message).map_err(|e| RunError::Internal(e.to_string()))?;
        if text.len() > MAX_MESSAGE {
            return Err(RunError::Internal(format!("a control message has {} bytes", text.len())));
        }
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        let sent = sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&text)], control, MsgFlags::MSG_NOSIGNAL, None);
        sent.map(drop).doing("talk to", "shim")
    }

    /// The next message; `None` if the shim is gone.
    pub(super) fn receive(&self) -> Result<Option<ToSupervisor>, RunError> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let (len, _fd) = match receive_with_fd(&self.0, &mut IoSliceMut::new(&mut bytes)) {
            Err(nix::errno::Errno::ECONNRESET) => return Ok(None),
            other => other.doing("listen to", "shim")?,
        };
        if len == 0 {
            return Ok(None);
        }
        let text = bytes.get(..len).unwrap_or_default();
        let message = serde_json::from_slice(text);
        message.map(Some).map_err(|e| RunError::Internal(format!("the shim said something that is no message: {e}")))
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
