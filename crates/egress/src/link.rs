//! A `SOCK_SEQPACKET` socket: one JSON object a datagram (unix(7)).

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stockade_wire::egress::{MAX_MESSAGE, MAX_RIGHTS};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// One end. Tokio has no type for such sockets; that of stream sockets waits for them as well, and what is read and
/// written is done here.
#[derive(Debug)]
pub struct Link(UnixStream);

impl Link {
    /// Takes a connected socket.
    pub fn new(socket: OwnedFd) -> std::io::Result<Self> {
        rustix::fs::fcntl_setfl(&socket, rustix::fs::fcntl_getfl(&socket)? | rustix::fs::OFlags::NONBLOCK)?;
        UnixStream::from_std(socket.into()).map(Self)
    }

    /// Sends a message when there is room for it.
    pub async fn send(&self, message: &impl Serialize) -> std::io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > MAX_MESSAGE {
            return Err(Error::new(ErrorKind::InvalidInput, format!("a message of {} bytes", text.len())));
        }
        let send = || {
            let mut none = SendAncillaryBuffer::default();
            Ok(sendmsg(&self.0, &[IoSlice::new(&text)], &mut none, SendFlags::NOSIGNAL).map(drop)?)
        };
        self.0.async_io(Interest::WRITABLE, send).await
    }

    /// The next message with its descriptors; `None` if the other end is gone.
    pub async fn receive<T: DeserializeOwned>(&self) -> std::io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let (len, fds) = self.0.async_io(Interest::READABLE, || read(&self.0, &mut bytes)).await?;
        let Some(text) = bytes.get(..len).filter(|text| !text.is_empty()) else { return Ok(None) };
        Ok(Some((serde_json::from_slice(text)?, fds)))
    }
}

fn read(socket: &UnixStream, bytes: &mut [u8]) -> std::io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_RIGHTS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Error::new(ErrorKind::InvalidData, "a message or its descriptors did not fit"));
    }
    Ok((received.bytes, fds))
}
