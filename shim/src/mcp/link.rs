//! The pipes of an MCP server's cell, and the session over them. Nothing here blocks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{read, write};

use super::client::{Broken, ClientSession, Event};
use crate::exec::Stream;

/// Bytes read before other descriptors get their turn.
const BATCH: usize = 1024 * 1024;
/// Bytes of a server's standard error that are kept for the record.
const MAX_WORDS: u64 = 8 * 1024;

/// A server that runs.
#[derive(Debug)]
pub struct Link {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    /// Its standard error.
    pub stderr: Stream,
    /// The conversation.
    pub session: ClientSession,
}

impl Link {
    /// Begins a session over a server's standard streams.
    ///
    /// # Errors
    /// What fcntl(2) says of the first two.
    pub fn begin([stdin, stdout, stderr]: [OwnedFd; 3]) -> nix::Result<Self> {
        for pipe in [&stdin, &stdout] {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let stderr = Stream::open(stderr, MAX_WORDS);
        Ok(Self { stdin: Some(stdin), stdout: Some(stdout), stderr, session: ClientSession::begin() })
    }

    /// For poll(2): what it may say, until it has said its last.
    #[must_use]
    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        self.stdout.as_ref().map(AsFd::as_fd)
    }

    /// For poll(2): where it is told something, while there is something to tell.
    #[must_use]
    pub fn input(&self) -> Option<BorrowedFd<'_>> {
        self.stdin.as_ref().filter(|_| self.session.has_output()).map(AsFd::as_fd)
    }

    /// Sends what the server takes, and reads what it has said.
    pub fn turn(&mut self) {
        self.flush();
        let mut chunk = [0u8; 16 * 1024];
        let mut taken = 0;
        while taken < BATCH {
            let Some(stdout) = &self.stdout else { break };
            match read(stdout, &mut chunk) {
                Ok(n) if n > 0 => {
                    taken += n;
                    self.session.receive(chunk.get(..n).unwrap_or_default());
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // The end, or a pipe that can't be read: no more will come.
                Ok(_) | Err(_) => self.stdout = None,
            }
        }
        self.stderr.drain(BATCH);
    }

    /// What came of the server next.
    ///
    /// # Errors
    /// [`Broken`]: the session is over.
    pub fn next_event(&mut self) -> Result<Option<Event>, Broken> {
        self.session.next_event()
    }

    /// Sends what the server takes. What it does not take is seen when it has ended.
    pub fn flush(&mut self) {
        let Some(stdin) = &self.stdin else { return };
        let output = self.session.output();
        if !super::flush(output, |rest| write(stdin, rest)) {
            output.clear();
            self.stdin = None;
        }
    }
}
