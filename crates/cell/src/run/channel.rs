//! The conversation with the shim. Every wait ends at the wall-clock limit at the latest.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, recv, send};
use stockade_wire::frame::{FrameError, FromCell, Splitter, Status, ToCell};

use super::deadline::{Deadline, Waited};

/// Why the conversation can't go on.
#[derive(Debug)]
pub(super) enum ChannelError {
    /// The socket can't be used.
    Socket(Errno),
    /// The peer's or our own frame is malformed.
    Frame(FrameError),
    /// The shim closed its end.
    Closed,
    /// A well-formed frame in the wrong place.
    Unexpected(&'static str),
    /// The wall-clock limit passed while waiting.
    Expired,
}

impl std::fmt::Display for ChannelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(e) => write!(f, "channel to the shim: {e}"),
            Self::Frame(e) => write!(f, "channel to the shim: {e}"),
            Self::Closed => write!(f, "channel to the shim: closed by the shim"),
            Self::Unexpected(what) => write!(f, "channel to the shim: {what}"),
            Self::Expired => write!(f, "channel to the shim: no answer before the wall-clock limit"),
        }
    }
}

impl std::error::Error for ChannelError {}

impl From<Waited> for ChannelError {
    fn from(waited: Waited) -> Self {
        match waited {
            Waited::Expired => Self::Expired,
            Waited::Failed(e) => Self::Socket(e),
        }
    }
}

/// One end of the stream socket, and what has arrived on it.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
    splitter: Splitter,
    deadline: Deadline,
    last_call: u64,
    recorded: bool,
}

impl Channel {
    pub(super) fn new(socket: OwnedFd, deadline: Deadline) -> Result<Self, ChannelError> {
        // The flag is of this end's open file description; the shim's end is not touched.
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(ChannelError::Socket)?;
        Ok(Self { socket, splitter: Splitter::default(), deadline, last_call: 0, recorded: false })
    }

    /// Sends one frame.
    pub(super) fn send(&mut self, frame: &FromCell) -> Result<(), ChannelError> {
        let bytes = frame.encode().map_err(ChannelError::Frame)?;
        let deadline = self.deadline.clone();
        self.write(&bytes, &deadline)
    }

    /// Sends the last frame: the time limit may be what it tells, so it is not subject to it. A
    /// shim that does not read ends with the supervisor's own limit.
    pub(super) fn send_last(&mut self, frame: &FromCell) -> Result<(), ChannelError> {
        let bytes = frame.encode().map_err(ChannelError::Frame)?;
        self.write(&bytes, &Deadline::default())
    }

    fn write(&mut self, mut bytes: &[u8], deadline: &Deadline) -> Result<(), ChannelError> {
        while !bytes.is_empty() {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => deadline.wait(self.socket.as_fd(), PollFlags::POLLOUT)?,
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(ChannelError::Closed),
                Err(e) => return Err(ChannelError::Socket(e)),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<ToCell, ChannelError> {
        let mut chunk = [0u8; 64 << 10];
        loop {
            if let Some(body) = self.splitter.next_frame().map_err(ChannelError::Frame)? {
                return ToCell::decode(&body).map_err(ChannelError::Frame);
            }
            match recv(self.socket.as_raw_fd(), &mut chunk, MsgFlags::empty()) {
                Ok(0) | Err(Errno::ECONNRESET) => return Err(ChannelError::Closed),
                Ok(n) => self.splitter.push(chunk.get(..n).unwrap_or_default()),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.deadline.wait(self.socket.as_fd(), PollFlags::POLLIN)?,
                Err(e) => return Err(ChannelError::Socket(e)),
            }
        }
    }

    /// Waits for the word to begin.
    pub(super) fn wait_for_start(&mut self) -> Result<(), ChannelError> {
        match self.receive()? {
            ToCell::Start => Ok(()),
            ToCell::Reply { .. } => Err(ChannelError::Unexpected("a reply before any call")),
        }
    }

    /// Whether the last answer was that of a run before.
    pub(super) fn recorded(&self) -> bool {
        self.recorded
    }

    /// Asks for a tool and waits for the answer; `fuel` is what agent code has used.
    pub(super) fn call(&mut self, tool: &str, args: String, fuel: u64) -> Result<(Status, String), ChannelError> {
        self.last_call += 1;
        let asked = self.last_call;
        self.send(&FromCell::Call { id: asked, fuel, tool: tool.to_owned(), args: args.into_bytes() })?;
        match self.receive()? {
            ToCell::Reply { id, status, recorded, body } if id == asked => {
                self.recorded = recorded;
                let text =
                    String::from_utf8(body).map_err(|_| ChannelError::Unexpected("a reply that is not UTF-8"))?;
                Ok((status, text))
            }
            ToCell::Reply { .. } => Err(ChannelError::Unexpected("a reply to another call")),
            ToCell::Start => Err(ChannelError::Unexpected("a second start")),
        }
    }
}
