//! The socket to egress: one JSON object a datagram, in both directions, never blocking.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use stockade_wire::egress::{FromShim, MAX_MESSAGE, ToShim};

use crate::sys::fds;

/// Answers that may wait to be taken. Egress has a bounded number of questions open, and each has one answer at a time.
const MAX_QUEUED: usize = 2 * stockade_wire::egress::MAX_ASKS;

/// The shim's end.
#[derive(Debug)]
pub(super) struct Door {
    socket: OwnedFd,
    buffer: Vec<u8>,
    queue: VecDeque<Vec<u8>>,
}

impl Door {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; MAX_MESSAGE], queue: VecDeque::new() }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn congested(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next message; `None` if none has arrived, an error in words if none ever will.
    pub(super) fn receive(&mut self) -> Result<Option<ToShim>, String> {
        let datagram = loop {
            match fds::receive(&self.socket, &mut self.buffer) {
                Ok(datagram) => break datagram,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.to_string()),
            }
        };
        if datagram.len == 0 {
            return Err("it is gone".to_owned());
        }
        if datagram.cut || !datagram.rights.is_empty() {
            return Err("it sent a message that is too long, or descriptors".to_owned());
        }
        let text = self.buffer.get(..datagram.len).unwrap_or_default();
        serde_json::from_slice(text).map(Some).map_err(|error| format!("it sent what is no message: {error}"))
    }

    /// Queues an answer and sends what the socket takes.
    pub(super) fn send(&mut self, message: &FromShim) -> Result<(), String> {
        let text = serde_json::to_vec(message).map_err(|error| error.to_string())?;
        if text.len() > MAX_MESSAGE {
            return Err(format!("an answer to it has {} bytes; allowed are {MAX_MESSAGE}", text.len()));
        }
        self.queue.push_back(text);
        self.flush()?;
        if self.queue.len() > MAX_QUEUED { Err("it does not take its answers".to_owned()) } else { Ok(()) }
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        while let Some(text) = self.queue.front() {
            match send(self.socket.as_raw_fd(), text, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => drop(self.queue.pop_front()),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno.to_string()),
            }
        }
        Ok(())
    }
}
