//! Reaching a service of the host over IP. The driver listens on `TCP` and `UDP` of 127.0.0.1
//! and answers with the secret; it also connects to `LISTEN` while an attack runs.

use crate::attack::{Attack, Attempt, attack, no_effect};
use crate::kit::{expect_secret, read, readable, steal_fd};
use crate::params::Params;
use crate::sys;
use crate::sys::{Failed, Plain, at};

const CLASS: &str = "network";
const APART: &[&str] = &["seccomp", "net-ns", "landlock"];
const LOOPBACK: u32 = 0x7f00_0001;
const MPTCP: i32 = 262;
const HIGH: usize = 1 << 32;

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("net-tcp", CLASS, "read from a TCP service on the host's loopback", |p| tcp(p, libc::IPPROTO_TCP))
        .needs(&["TCP"])
        .native(APART),
    attack("net-tcp6", CLASS, "the same by an IPv6 socket and a mapped address", tcp6)
        .needs(&["TCP"])
        .excuse(&[libc::EAFNOSUPPORT], "no IPv6")
        .native(APART),
    attack("net-mptcp", CLASS, "the same by MPTCP, which Landlock's TCP rules miss", |p| tcp(p, MPTCP))
        .needs(&["TCP"])
        .excuse(&[libc::EPROTONOSUPPORT, libc::ENOPROTOOPT], "no MPTCP")
        .native(APART),
    attack("net-fastopen", CLASS, "the same by sendto(MSG_FASTOPEN), without connect", fastopen)
        .needs(&["TCP"])
        .native(APART),
    attack("net-connect-unspec", CLASS, "connect to AF_UNSPEC first, then to the service", unspec)
        .needs(&["TCP"])
        .native(APART),
    attack("net-socket-high", CLASS, "the same with junk in the high half of the socket's domain", |p| {
        let fd = sys!(SYS_socket, HIGH | libc::AF_INET as usize, libc::SOCK_STREAM, 0)?;
        connect(fd, p)?;
        steal_fd(fd)
    })
    .needs(&["TCP"])
    .native(APART),
    attack("net-udp", CLASS, "read from a UDP service on the host's loopback", udp).needs(&["UDP"]).native(APART),
    attack("net-udplite", CLASS, "make a UDP-Lite socket", |_| {
        sys!(SYS_socket, libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE)?;
        Ok("made".into())
    })
    .excuse(&[libc::EPROTONOSUPPORT], "no UDP-Lite")
    .native(APART),
    attack("net-icmp-raw", CLASS, "ping the host's loopback by a raw socket", |_| ping(libc::SOCK_RAW)).native(&[
        "seccomp",
        "capabilities",
        "net-ns",
    ]),
    attack("net-icmp-dgram", CLASS, "ping the host's loopback by an ICMP datagram socket", |_| ping(libc::SOCK_DGRAM))
        .excuse(&[libc::EACCES], "net.ipv4.ping_group_range is closed")
        .native(&["seccomp", "net-ns"]),
    attack("net-listen", CLASS, "offer a TCP service that the host connects to", listen)
        .needs(&["LISTEN"])
        .native(&["seccomp", "net-ns", "landlock"]),
    attack("net-interfaces", CLASS, "see the host's network interfaces", interfaces).native(&["seccomp", "net-ns"]),
];

fn address(port: i64) -> libc::sockaddr_in {
    let mut a = libc::sockaddr_in::zeroed();
    a.sin_family = libc::AF_INET as u16;
    a.sin_port = u16::try_from(port).unwrap_or(0).to_be();
    a.sin_addr.s_addr = LOOPBACK.to_be();
    a
}

fn connect(fd: usize, p: &Params) -> Result<usize, crate::attack::Stop> {
    let to = address(p.number("TCP")?);
    Ok(sys!(SYS_connect, fd, at(&to), size_of_val(&to))?)
}

fn socket(kind: i32, protocol: i32) -> Result<usize, Failed> {
    sys!(SYS_socket, libc::AF_INET, kind, protocol)
}

fn tcp(p: &Params, protocol: i32) -> Attempt {
    let fd = socket(libc::SOCK_STREAM, protocol)?;
    connect(fd, p)?;
    steal_fd(fd)
}

fn tcp6(p: &Params) -> Attempt {
    let fd = sys!(SYS_socket, libc::AF_INET6, libc::SOCK_STREAM, 0)?;
    // struct sockaddr_in6 by hand: family, port, flow, ::ffff:127.0.0.1, scope.
    let mut to = [0u8; 28];
    let port = u16::try_from(p.number("TCP")?).unwrap_or(0).to_be_bytes();
    let parts: [(usize, &[u8]); 4] =
        [(0, &[libc::AF_INET6 as u8, 0]), (2, &port), (18, &[255, 255]), (20, &[127, 0, 0, 1])];
    for (at, bytes) in parts {
        if let Some(slot) = to.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }
    sys!(SYS_connect, fd, to.as_ptr(), to.len())?;
    steal_fd(fd)
}

fn fastopen(p: &Params) -> Attempt {
    let fd = socket(libc::SOCK_STREAM, 0)?;
    let to = address(p.number("TCP")?);
    sys!(SYS_sendto, fd, b"x".as_ptr(), 1, libc::MSG_FASTOPEN, at(&to), size_of_val(&to))?;
    steal_fd(fd)
}

fn unspec(p: &Params) -> Attempt {
    let fd = socket(libc::SOCK_STREAM, 0)?;
    let none = libc::sockaddr_in::zeroed();
    sys!(SYS_connect, fd, at(&none), size_of_val(&none))?;
    connect(fd, p)?;
    steal_fd(fd)
}

fn udp(p: &Params) -> Attempt {
    let fd = socket(libc::SOCK_DGRAM, 0)?;
    let to = address(p.number("UDP")?);
    sys!(SYS_sendto, fd, b"x".as_ptr(), 1, 0, at(&to), size_of_val(&to))?;
    if readable(fd, 1000) { steal_fd(fd) } else { Err(no_effect("no answer within a second")) }
}

fn ping(kind: i32) -> Attempt {
    let fd = socket(kind, libc::IPPROTO_ICMP)?;
    let to = address(0);
    // Echo request, checksum 0xe5ca for identifier 0x1234 and sequence 1 without data.
    let echo = [8u8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1];
    sys!(SYS_sendto, fd, echo.as_ptr(), echo.len(), 0, at(&to), size_of_val(&to))?;
    while readable(fd, 1000) {
        let got = read(fd)?;
        // A raw socket shows the IP header, 20 bytes here.
        let kind = if kind == libc::SOCK_RAW { got.get(20) } else { got.first() };
        if kind == Some(&0) {
            return Ok("echo reply".into());
        }
    }
    Err(no_effect("no echo within a second"))
}

fn listen(p: &Params) -> Attempt {
    let fd = socket(libc::SOCK_STREAM, 0)?;
    let one = 1i32;
    sys!(SYS_setsockopt, fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, at(&one), 4)?;
    let here = address(p.number("LISTEN")?);
    sys!(SYS_bind, fd, at(&here), size_of_val(&here))?;
    sys!(SYS_listen, fd, 1)?;
    if !readable(fd, 1500) {
        return Err(no_effect("nobody connected within 1.5 seconds"));
    }
    let peer = sys!(SYS_accept4, fd, 0, 0, 0)?;
    expect_secret(&read(peer)?)
}

fn interfaces(_: &Params) -> Attempt {
    let fd = socket(libc::SOCK_DGRAM, 0)?;
    // struct ifconf and 16 struct ifreq of 40 bytes (netdevice(7)).
    let mut requests = [0u8; 40 * 16];
    let mut conf = [requests.len() as u64, requests.as_mut_ptr() as u64];
    sys!(SYS_ioctl, fd, libc::SIOCGIFCONF, conf.as_mut_ptr())?;
    let used = usize::try_from(conf[0] & 0xffff_ffff).unwrap_or(0);
    let names: Vec<String> = requests
        .get(..used)
        .unwrap_or_default()
        .chunks(40)
        .map(|r| String::from_utf8_lossy(r.get(..16).unwrap_or_default()).trim_end_matches('\0').to_owned())
        .collect();
    // A lone loopback is every network namespace's own.
    if names.iter().any(|n| n != "lo") || names.len() > 1 {
        Ok(names.join(" "))
    } else {
        Err(no_effect(format!("{names:?}")))
    }
}
