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

/// RTM_NEWLINK as the kernel's 32-bit words. `struct nlmsghdr` (netlink(7)): 32 bytes; type 16, flags NLM_F_REQUEST and
/// NLM_F_ACK; sequence and port. `struct ifinfomsg`: no family; interface 1, which is `lo` in every namespace; flags
/// IFF_UP, and IFF_UP is what changes.
const RAISE_LOOPBACK: [u32; 8] = [32, 16 | 0x5 << 16, 0, 0, 0, 1, 1, 1];
/// RTM_NEWROUTE likewise: 36 bytes; type 24, flags as above with NLM_F_EXCL and NLM_F_CREATE. `struct rtmsg`: AF_INET,
/// all of it; table RT_TABLE_LOCAL (255), RTPROT_BOOT (3), RT_SCOPE_HOST (254), RTN_LOCAL (2); no flags.
/// `struct rtattr`: 8 bytes of RTA_OIF (4): interface 1.
const ALL_IS_LOCAL: [u32; 9] = [36, 24 | 0x605 << 16, 0, 0, 2, 255 | 3 << 8 | 254 << 16 | 2 << 24, 0, 8 | 4 << 16, 1];
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// Opens the listeners and hands each to the supervisor. Without any the namespace stays as it was born.
pub fn open(listeners: &[Listener], supervisor: &LaunchSocket) -> Result<(), StepError> {
    listeners.first().map_or(Ok(()), |_| raise_loopback()).at(Step::Network)?;
    for (index, listener) in listeners.iter().enumerate() {
        let opened = one(listener).at_index(Step::Network, index)?;
        let told = Report::Net { index: u32::try_from(index).unwrap_or(u32::MAX) };
        supervisor.tell(told, Some(opened.as_fd())).at_index(Step::Network, index)?;
    }
    Ok(())
}

fn one(listener: &Listener) -> Result<OwnedFd, Errno> {
    let tcp = listener.transport == Transport::Tcp;
    let kind = if tcp { SockType::Stream } else { SockType::Datagram };
    let opened = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    let [a, b, c, d] = if listener.any { [0; 4] } else { [127, 0, 0, 1] };
    bind(opened.as_raw_fd(), &SockaddrIn::new(a, b, c, d, listener.port))?;
    if tcp {
        listen(&opened, Backlog::new(BACKLOG)?)?;
    }
    Ok(opened)
}

/// Brings `lo` up and makes every IPv4 address a local one. IPv6 has `::1` and no route: the kernel refuses the rest.
fn raise_loopback() -> Result<(), Errno> {
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    for request in [&RAISE_LOOPBACK[..], &ALL_IS_LOCAL] {
        let bytes: Vec<u8> = request.iter().flat_map(|word| word.to_ne_bytes()).collect();
        send(kernel.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answer = [0; 256];
        let len = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // `struct nlmsgerr`, which is the only answer to such a request: after the header the error, negated, or zero.
        match answer.get(..len).and_then(|answer| answer.get(16..20)?.try_into().ok()).map(i32::from_ne_bytes) {
            Some(0) => {}
            error => return Err(error.map_or(Errno::EPROTO, |error| Errno::from_raw(error.wrapping_neg()))),
        }
    }
    Ok(())
}
