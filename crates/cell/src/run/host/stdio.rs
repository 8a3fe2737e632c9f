//! stdout and stderr: pipes to the supervisor, which bounds and counts them. An agent learns nothing of them: whatever
//! it writes is taken, and a pipe that fails ends it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::write;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::run::deadline::{Deadline, Waited};
use crate::run::end::Stop;

/// What poll(2) promises room for in a writable pipe (pipe(7)): a write of it can't block.
const PIPE_BUF: usize = 4096;
/// Bytes an agent may offer at once.
const PERMIT: usize = 64 << 10;

/// One of the two pipes; clones share it.
#[derive(Clone)]
pub(super) struct Output {
    pipe: Arc<OwnedFd>,
    deadline: Deadline,
}

impl Output {
    pub(super) fn new(stream: impl AsFd, deadline: &Deadline) -> io::Result<Self> {
        Ok(Self { pipe: Arc::new(stream.as_fd().try_clone_to_owned()?), deadline: deadline.clone() })
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            self.deadline.wait(self.pipe.as_fd(), PollFlags::POLLOUT).map_err(|waited| match waited {
                Waited::Expired => StreamError::Trap(Stop::Wall.into()),
                Waited::Failed(e) => StreamError::Trap(Stop::Output(e).into()),
            })?;
            let part = rest.get(..rest.len().min(PIPE_BUF)).unwrap_or_default();
            match write(&self.pipe, part) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(e) => return Err(StreamError::Trap(Stop::Output(e).into())),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}
