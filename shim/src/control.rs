//! The control socket: one JSON object a datagram, in both directions, never blocking.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use stockade_wire::control::{MAX_MESSAGE, ToShim, ToSupervisor};

use crate::sys::fds;

/// Bytes of unsent messages that may wait for the supervisor. The cell is not read while any wait,
/// so only what the shim itself has to say can reach this.
const MAX_QUEUED: usize = 4 * 1024 * 1024;

/// The shim's end of the control socket.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
    buffer: Vec<u8>,
    queue: VecDeque<Vec<u8>>,
    queued: usize,
}

/// A message with its descriptors.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub message: ToShim,
    /// What came with it.
    pub rights: Vec<OwnedFd>,
}

/// Why the control channel cannot go on.
#[derive(Debug)]
pub enum ControlError {
    /// The supervisor closed it.
    Closed,
    /// A datagram over [`MAX_MESSAGE`], or with more descriptors than any message has.
    Cut,
    /// Not a message of this protocol.
    Decode(String),
    /// A message of our own that is over [`MAX_MESSAGE`]; the operand is its size in bytes.
    TooLong(usize),
    /// The supervisor reads nothing; the operand is what waits, in bytes.
    Stuck(usize),
    /// The socket failed.
    Os(Errno),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(f, "the supervisor is gone"),
            Self::Cut => write!(f, "a message over {MAX_MESSAGE} bytes or with over {} descriptors", fds::MAX_RIGHTS),
            Self::Decode(what) => write!(f, "not a message of this version: {what}"),
            Self::TooLong(n) => write!(f, "own message of {n} bytes; allowed are {MAX_MESSAGE}"),
            Self::Stuck(n) => write!(f, "the supervisor does not read; {n} bytes wait"),
            Self::Os(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for ControlError {}

impl Control {
    /// Speaks over a connected `SOCK_SEQPACKET` socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; MAX_MESSAGE], queue: VecDeque::new(), queued: 0 }
    }

    /// For poll(2).
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next message, or `None` if none has arrived.
    ///
    /// # Errors
    /// [`ControlError`]; none is recoverable.
    pub fn receive(&mut self) -> Result<Option<Received>, ControlError> {
        let datagram = loop {
            match fds::receive(&self.socket, &mut self.buffer) {
                Ok(d) => break d,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::ECONNRESET) => return Err(ControlError::Closed),
                Err(e) => return Err(ControlError::Os(e)),
            }
        };
        if datagram.len == 0 {
            return Err(ControlError::Closed);
        }
        if datagram.cut {
            return Err(ControlError::Cut);
        }
        let text = self.buffer.get(..datagram.len).unwrap_or_default();
        let message = serde_json::from_slice(text).map_err(|e| ControlError::Decode(e.to_string()))?;
        Ok(Some(Received { message, rights: datagram.rights }))
    }

    /// Queues a message and sends what the socket takes.
    ///
    /// # Errors
    /// [`ControlError`]; none is recoverable.
    pub fn send(&mut self, message: &ToSupervisor) -> Result<(), ControlError> {
        let text = serde_json::to_vec(message).map_err(|e| ControlError::Decode(e.to_string()))?;
        if text.len() > MAX_MESSAGE {
            return Err(ControlError::TooLong(text.len()));
        }
        self.queued += text.len();
        self.queue.push_back(text);
        self.flush()?;
        if self.queued > MAX_QUEUED { Err(ControlError::Stuck(self.queued)) } else { Ok(()) }
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// [`ControlError`]; none is recoverable.
    pub fn flush(&mut self) -> Result<(), ControlError> {
        while let Some(text) = self.queue.front() {
            match send(self.socket.as_raw_fd(), text, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => {
                    self.queued = self.queued.saturating_sub(text.len());
                    self.queue.pop_front();
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(ControlError::Closed),
                Err(e) => return Err(ControlError::Os(e)),
            }
        }
        Ok(())
    }

    /// Messages wait for the supervisor to read.
    #[must_use]
    pub fn congested(&self) -> bool {
        !self.queue.is_empty()
    }
}
