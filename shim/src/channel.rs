//! The cell channel: frames in, frames out, never blocking, every buffer bounded.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use stockade_wire::frame::{FrameError, FromCell, MAX_FRAME, Splitter, Status, ToCell};

use crate::protocol::{Breach, Protocol};

/// Bytes read at once. Also bounds what the splitter holds beyond one frame.
const CHUNK: usize = 16 * 1024;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes.
    Bytes,
    /// Nothing yet.
    Nothing,
    /// The cell's end is closed: the cell is dying or dead.
    Closed,
}

/// The shim's end of the cell channel.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    splitter: Splitter,
    /// Encoded frames that the cell has not taken yet, and how much of them it has.
    unsent: Vec<u8>,
    taken: usize,
    /// The rules of the conversation.
    pub protocol: Protocol,
}

impl Channel {
    /// Speaks over a connected stream socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, splitter: Splitter::default(), unsent: Vec::new(), taken: 0, protocol: Protocol::default() }
    }

    /// For poll(2).
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Answers wait for the cell to take them. While they do, nothing more is read: a cell that
    /// asks and does not listen is stopped by its own silence, at one answer of memory.
    #[must_use]
    pub fn congested(&self) -> bool {
        self.taken < self.unsent.len()
    }

    /// Reads one chunk, if there is one.
    ///
    /// # Errors
    /// [`Breach::Frame`] if the socket fails.
    pub fn read(&mut self) -> Result<Arrival, Breach> {
        let mut chunk = [0u8; CHUNK];
        match recv(self.socket.as_raw_fd(), &mut chunk, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(Arrival::Closed),
            Ok(n) => {
                self.splitter.push(chunk.get(..n).unwrap_or_default());
                Ok(Arrival::Bytes)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Arrival::Nothing),
            Err(e) => Err(FrameError::Io(e.into()).into()),
        }
    }

    /// The next whole frame that has arrived and has its place in the conversation.
    ///
    /// # Errors
    /// [`Breach`]; none is recoverable.
    pub fn next_frame(&mut self) -> Result<Option<FromCell>, Breach> {
        let Some(body) = self.splitter.next_frame()? else { return Ok(None) };
        let frame = FromCell::decode(&body)?;
        self.protocol.admit(&frame)?;
        Ok(Some(frame))
    }

    /// Says `Start`.
    ///
    /// # Errors
    /// What [`Self::flush`] says.
    pub fn start(&mut self) -> Result<(), FrameError> {
        self.protocol.started();
        self.queue(&ToCell::Start)
    }

    /// Answers the call in flight; `recorded` says that the answer is that of a run before. An answer over [`MAX_FRAME`] cannot be formed by the tools'
    /// bounds; should one be, the cell is told so instead.
    ///
    /// # Errors
    /// What [`Self::flush`] says.
    pub fn reply(&mut self, id: u64, status: Status, recorded: bool, body: Vec<u8>) -> Result<(), FrameError> {
        self.protocol.answered();
        let reply = if body.len() > MAX_FRAME - 64 {
            let body = br#"{"error":"too_large","message":"the result does not fit a frame"}"#.to_vec();
            ToCell::Reply { id, status: Status::Failed, recorded, body }
        } else {
            ToCell::Reply { id, status, recorded, body }
        };
        self.queue(&reply)
    }

    fn queue(&mut self, frame: &ToCell) -> Result<(), FrameError> {
        self.unsent.extend_from_slice(&frame.encode()?);
        self.flush()
    }

    /// Sends what the cell takes.
    ///
    /// # Errors
    /// [`FrameError::Closed`] if the cell is gone, [`FrameError::Io`] if the socket fails.
    pub fn flush(&mut self) -> Result<(), FrameError> {
        while let Some(rest) = self.unsent.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match send(self.socket.as_raw_fd(), rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => self.taken += n,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(FrameError::Closed),
                Err(e) => return Err(FrameError::Io(e.into())),
            }
        }
        // Frees the capacity of a large answer, too.
        self.unsent = Vec::new();
        self.taken = 0;
        Ok(())
    }
}
