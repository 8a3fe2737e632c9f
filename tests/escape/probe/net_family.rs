//! Sockets that are not for talking to a service: packet capture, kernel configuration, the
//! hypervisor, kernel crypto, and every rare family a kernel may have.

use crate::attack::{Attack, Attempt, attack, no_effect};
use crate::kit::{read, readable};
use crate::params::Params;
use crate::sys;
use crate::sys::{Plain, at};

const CLASS: &str = "socket families";
const ALL: &[&str] = &["seccomp", "net-ns", "capabilities"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("family-packet", CLASS, "capture traffic of the loopback by a packet socket", packet).native(ALL),
    attack("family-netlink-route", CLASS, "list the host's interfaces by rtnetlink", route).native(ALL),
    attack("family-netlink-diag", CLASS, "list the host's listening sockets by sock_diag", diag)
        .needs(&["TCP"])
        .excuse(&[libc::EPROTONOSUPPORT, libc::ENOENT], "no sock_diag")
        .native(ALL),
    attack("family-netlink-uevent", CLASS, "listen to the kernel's device events", |_| {
        const UEVENT: i32 = 15;
        let fd = sys!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, UEVENT)?;
        let mut me = libc::sockaddr_nl::zeroed();
        me.nl_family = libc::AF_NETLINK as u16;
        me.nl_groups = 1;
        sys!(SYS_bind, fd, at(&me), size_of_val(&me))?;
        Ok("subscribed".into())
    })
    .native(ALL),
    attack("family-vsock", CLASS, "make a socket to the hypervisor", |_| {
        sys!(SYS_socket, libc::AF_VSOCK, libc::SOCK_STREAM, 0)?;
        Ok("made (not connected)".into())
    })
    .excuse(&[libc::EAFNOSUPPORT], "no vsock")
    .native(ALL),
    attack("family-alg", CLASS, "drive the kernel's crypto by AF_ALG", |_| {
        let fd = sys!(SYS_socket, libc::AF_ALG, libc::SOCK_SEQPACKET, 0)?;
        let mut me = libc::sockaddr_alg::zeroed();
        me.salg_family = libc::AF_ALG as u16;
        for (slot, byte) in me.salg_type.iter_mut().zip(b"hash") {
            *slot = *byte;
        }
        for (slot, byte) in me.salg_name.iter_mut().zip(b"sha256") {
            *slot = *byte;
        }
        sys!(SYS_bind, fd, at(&me), size_of_val(&me))?;
        Ok("sha256 bound".into())
    })
    .excuse(&[libc::EAFNOSUPPORT, libc::ENOENT], "no AF_ALG")
    .native(ALL),
    attack("family-any", CLASS, "make a socket of any family but Unix and IP, of any kind", |_| any_family())
        .native(ALL),
    attack("family-any-high", CLASS, "the same with junk in the high half of the family", |_| {
        sys!(SYS_socket, 1usize << 32 | libc::AF_NETLINK as usize, libc::SOCK_RAW, 0)?;
        Ok("a netlink socket".into())
    })
    .native(ALL),
    attack("family-tun", CLASS, "make a network interface by /dev/net/tun", tun)
        .excuse(&[libc::ENOENT, libc::ENODEV], "no /dev/net/tun")
        .native(&["mount-ns", "seccomp", "capabilities", "landlock"]),
];

fn packet(_: &Params) -> Attempt {
    const ALL_PROTOCOLS: u16 = 3;
    let fd = sys!(SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, ALL_PROTOCOLS.to_be())?;
    let mut lo = libc::sockaddr_ll::zeroed();
    lo.sll_family = libc::AF_PACKET as u16;
    lo.sll_protocol = ALL_PROTOCOLS.to_be();
    lo.sll_ifindex = 1;
    sys!(SYS_bind, fd, at(&lo), size_of_val(&lo))?;
    // Something to capture: a datagram to a port where nobody listens.
    let udp = sys!(SYS_socket, libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut to = libc::sockaddr_in::zeroed();
    to.sin_family = libc::AF_INET as u16;
    to.sin_port = 9u16.to_be();
    to.sin_addr.s_addr = 0x7f00_0001u32.to_be();
    sys!(SYS_sendto, udp, b"capture me".as_ptr(), 10, 0, at(&to), size_of_val(&to))?;
    while readable(fd, 1000) {
        if read(fd)?.windows(10).any(|w| w == b"capture me") {
            return Ok("captured".into());
        }
    }
    Err(no_effect("nothing captured within a second"))
}

fn netlink(protocol: i32) -> Result<usize, sys::Failed> {
    sys!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, protocol)
}

/// Sends one dump request (netlink(7): length, type, flags, sequence, pid) and reads the answers.
fn dump(fd: usize, kind: u16, body: &[u8]) -> Result<Vec<u8>, crate::attack::Stop> {
    const REQUEST_DUMP: u16 = 0x301;
    let mut message = u32::try_from(16 + body.len()).unwrap_or(0).to_le_bytes().to_vec();
    message.extend(kind.to_le_bytes());
    message.extend(REQUEST_DUMP.to_le_bytes());
    message.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(body);
    let mut to = libc::sockaddr_nl::zeroed();
    to.nl_family = libc::AF_NETLINK as u16;
    sys!(SYS_sendto, fd, message.as_ptr(), message.len(), 0, at(&to), size_of_val(&to))?;
    let mut all = Vec::new();
    while readable(fd, 100) {
        all.extend(read(fd)?);
    }
    Ok(all)
}

/// Messages of a dump: type and body.
fn messages(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some(&[a, b, c, d, kind_low, kind_high]) = bytes.first_chunk::<6>() {
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        found.push((u16::from_le_bytes([kind_low, kind_high]), bytes.get(16..length).unwrap_or_default()));
        bytes = bytes.get(length.max(16).next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn route(_: &Params) -> Attempt {
    const GETLINK: u16 = 18;
    const NEWLINK: u16 = 16;
    let answer = dump(netlink(libc::NETLINK_ROUTE)?, GETLINK, &[0; 16])?;
    let links = messages(&answer).iter().filter(|(kind, _)| *kind == NEWLINK).count();
    // One link is the namespace's own loopback.
    if links > 1 { Ok(format!("{links} interfaces")) } else { Err(no_effect(format!("{links} interfaces"))) }
}

fn diag(p: &Params) -> Attempt {
    const SOCK_DIAG: i32 = 4;
    const BY_FAMILY: u16 = 20;
    // struct inet_diag_req_v2: family, protocol, ext, pad, states (listening), socket id.
    let mut request = vec![libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0];
    request.extend((1u32 << 10).to_le_bytes());
    request.extend([0; 48]);
    let answer = dump(netlink(SOCK_DIAG)?, BY_FAMILY, &request)?;
    let port = u16::try_from(p.number("TCP")?).unwrap_or(0).to_be_bytes();
    let seen = messages(&answer).iter().any(|(kind, body)| *kind == BY_FAMILY && body.get(4..6) == Some(&port[..]));
    if seen {
        Ok("the driver's listener is in the list".into())
    } else {
        Err(no_effect("the driver's listener is not in the list"))
    }
}

fn any_family() -> Attempt {
    const KINDS: [i32; 5] = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW, 4, libc::SOCK_SEQPACKET];
    let ordinary = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    let mut made = Vec::new();
    let mut last = no_effect("nothing to make");
    for family in (0..64).filter(|f| !ordinary.contains(f)) {
        for kind in KINDS {
            match sys!(SYS_socket, family, kind, 0) {
                Ok(_) => made.push(format!("{family}/{kind}")),
                Err(f) => last = f.into(),
            }
        }
    }
    if made.is_empty() { Err(last) } else { Ok(made.join(" ")) }
}

fn tun(_: &Params) -> Attempt {
    const SET_IFF: u64 = 0x4004_54ca;
    const IFF_TUN: u8 = 1;
    let fd = crate::kit::open("/dev/net/tun", libc::O_RDWR)?;
    let mut request = [0u8; 40];
    if let Some(flags) = request.get_mut(16) {
        *flags = IFF_TUN;
    }
    sys!(SYS_ioctl, fd, SET_IFF, request.as_mut_ptr())?;
    Ok("an interface that lasts as long as this process".into())
}
