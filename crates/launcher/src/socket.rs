//! The launch socket: a plan comes in, reports go out, one byte says go.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockType, getsockopt, recv, recvmsg, sendmsg, sockopt,
};
use stockade_plan::MAX_PLAN;
use stockade_plan::report::{GO, Report};
use stockade_plan::step::Step;

use crate::error::{At, StepError, fault};
use crate::sys;

/// Most descriptors one plan may come with.
const MAX_DESCRIPTORS: usize = 64;

/// Our end of the socket.
#[derive(Debug)]
pub struct LaunchSocket(OwnedFd);

impl LaunchSocket {
    /// Takes descriptor 0, which must be a `SOCK_SEQPACKET` socket.
    pub fn from_stdin() -> Result<Self, StepError> {
        let fd = sys::take_stdin();
        match getsockopt(&fd, sockopt::SockType).at(Step::Receive)? {
            SockType::SeqPacket => Ok(Self(fd)),
            _ => Err(fault(Step::Receive)),
        }
    }

    /// One packet: the plan's bytes and its descriptors, all close-on-exec.
    pub fn receive(&self) -> Result<(Vec<u8>, Vec<OwnedFd>), StepError> {
        let mut bytes = vec![0; MAX_PLAN + 1];
        let mut space = nix::cmsg_space!([i32; MAX_DESCRIPTORS]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            .at(Step::Receive)?;
        let mut fds = Vec::new();
        for control in message.cmsgs().at(Step::Receive)? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                fds.extend(raw.into_iter().map(sys::own_received));
            }
        }
        let (len, cut) = (message.bytes, message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC));
        if len == 0 || cut {
            return Err(fault(Step::Receive));
        }
        bytes.truncate(len);
        Ok((bytes, fds))
    }

    /// Sends a report, with a descriptor if it has one.
    pub fn tell(&self, report: Report, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let bytes = report.encode();
        let raw = fd.map(|fd| [fd.as_raw_fd()]);
        let control = raw.as_ref().map(|raw| [ControlMessage::ScmRights(raw)]);
        let control = control.as_ref().map_or(&[][..], |c| &c[..]);
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// Sends a failure.
    pub fn fail(&self, error: StepError) -> Result<(), Errno> {
        self.tell(Report::Failed { step: error.step, errno: error.errno, index: error.index }, None)
    }

    /// Waits for the byte that lets the program run. An end of file calls the launch off.
    pub fn wait_for_go(&self) -> Result<(), StepError> {
        let mut byte = [0];
        match recv(self.0.as_raw_fd(), &mut byte, MsgFlags::empty()).at(Step::Go)? {
            1 if byte == [GO] => Ok(()),
            _ => Err(fault(Step::Go)),
        }
    }

    /// Whether the supervisor still holds its end.
    pub fn is_open(&self) -> bool {
        let mut byte = [0];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.0.as_raw_fd(), &mut byte, flags) == Err(Errno::EAGAIN)
    }

    /// Moves the socket to descriptor `number`, close-on-exec.
    pub fn move_to(&mut self, number: i32) -> Result<(), Errno> {
        self.0 = sys::dup_to(self.0.as_fd(), number, true)?;
        Ok(())
    }

    /// Moves the socket out of the low numbers.
    pub fn raise(&mut self, above: i32) -> Result<(), Errno> {
        self.0 = raise(self.0.as_fd(), above)?;
        Ok(())
    }
}

impl AsFd for LaunchSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for LaunchSocket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

/// Duplicates a descriptor to the lowest free number from `above`, close-on-exec.
pub fn raise(fd: BorrowedFd<'_>, above: i32) -> Result<OwnedFd, Errno> {
    let raw = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(above))?;
    Ok(sys::own_received(raw))
}
