//! The network namespace: nothing, or `lo`, one route and the plan's listeners (rtnetlink(7)).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, bind, listen, recv, send, socket,
};
use stockade_plan::report::Report;
use stockade_plan::step::Step;
use stockade_plan::{Listener, Transport};

use crate::error::{At, StepError};
use crate::socket::LaunchSocket;

/// `struct nlmsghdr` (netlink(7)).
const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
const RT_TABLE_LOCAL: u8 = 255;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_HOST: u8 = 254;
const RTN_LOCAL: u8 = 2;
/// `struct rtattr` with a u32: the interface a route leads to.
const RTA_OIF: u16 = 4;
/// `lo` is the first interface of every namespace.
const LOOPBACK: u32 = 1;
const IFF_UP: u32 = 1;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// Opens the listeners and hands each to the supervisor. Without any the namespace stays as it was born.
pub fn open(listeners: &[Listener], supervisor: &LaunchSocket) -> Result<(), StepError> {
    if listeners.is_empty() {
        return Ok(());
    }
    raise_loopback().at(Step::Network)?;
    for (index, listener) in listeners.iter().enumerate() {
        let opened = one(listener).at_index(Step::Network, index)?;
        let told = Report::Net { index: u32::try_from(index).unwrap_or(u32::MAX) };
        supervisor.tell(told, Some(opened.as_fd())).at_index(Step::Network, index)?;
    }
    Ok(())
}

fn one(listener: &Listener) -> Result<OwnedFd, Errno> {
    let kind = match listener.transport {
        Transport::Tcp => SockType::Stream,
        Transport::Udp => SockType::Datagram,
    };
    let opened = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    let [a, b, c, d] = if listener.any { [0; 4] } else { [127, 0, 0, 1] };
    bind(opened.as_raw_fd(), &SockaddrIn::new(a, b, c, d, listener.port))?;
    if listener.transport == Transport::Tcp {
        listen(&opened, Backlog::new(BACKLOG)?)?;
    }
    Ok(opened)
}

/// Brings `lo` up and makes every IPv4 address a local one. IPv6 has `::1` and no route: the kernel refuses the rest.
fn raise_loopback() -> Result<(), Errno> {
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    // struct ifinfomsg: family, padding, type; index; flags; which of them change.
    let mut link = vec![0; 4];
    [LOOPBACK, IFF_UP, IFF_UP].iter().for_each(|word| link.extend(word.to_ne_bytes()));
    ask(&kernel, RTM_NEWLINK, 0, &link)?;
    // struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type; flags.
    let family = u8::try_from(libc::AF_INET).map_err(|_| Errno::EINVAL)?;
    let mut route = vec![family, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0, 0, 0, 0];
    route.extend(8u16.to_ne_bytes());
    route.extend(RTA_OIF.to_ne_bytes());
    route.extend(LOOPBACK.to_ne_bytes());
    ask(&kernel, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route)
}

/// One request, and the kernel's word that it is done.
fn ask(kernel: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> Result<(), Errno> {
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(u32::try_from(HEADER + body.len()).map_err(|_| Errno::EMSGSIZE)?.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    // Sequence number and port: one request is under way at a time.
    message.extend([0; 8]);
    message.extend(body);
    send(kernel.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = [0; 256];
    let len = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = answer.get(..len).ok_or(Errno::EPROTO)?;
    let field = |at: usize, len: usize| answer.get(at..at + len).ok_or(Errno::EPROTO);
    // struct nlmsgerr: the error, negated, after the header.
    if field(4, 2)? != NLMSG_ERROR.to_ne_bytes() {
        return Err(Errno::EPROTO);
    }
    match i32::from_ne_bytes(field(HEADER, 4)?.try_into().map_err(|_| Errno::EPROTO)?) {
        0 => Ok(()),
        error => Err(Errno::from_raw(error.wrapping_neg())),
    }
}
