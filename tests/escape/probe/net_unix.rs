//! Reaching a service of the host over Unix sockets, by abstract and by path names. The driver's
//! services answer with the secret.

use crate::attack::{Attack, Attempt, Stop, attack};
use crate::kit::{readable, steal_fd};
use crate::sys;
use crate::sys::{Plain, at};

const CLASS: &str = "unix sockets";

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("unix-abstract", CLASS, "connect to an abstract socket of the host", |p| {
        steal_fd(connect(&format!("@{}", p.get("UNIX_ABSTRACT")?), libc::SOCK_STREAM)?)
    })
    .needs(&["UNIX_ABSTRACT"])
    .native(&["seccomp", "net-ns", "landlock"]),
    attack("unix-abstract-dgram", CLASS, "send to an abstract datagram socket of the host", |p| {
        dgram(&format!("@{}.dgram", p.get("UNIX_ABSTRACT")?))
    })
    .needs(&["UNIX_ABSTRACT"])
    .native(&["seccomp", "net-ns", "landlock"]),
    attack("unix-path", CLASS, "connect to a socket in a host directory", |p| {
        steal_fd(connect(p.get("UNIX_PATH")?, libc::SOCK_STREAM)?)
    })
    .needs(&["UNIX_PATH"])
    .native(&["seccomp", "mount-ns", "landlock"]),
    attack("unix-path-seqpacket", CLASS, "the same by a SOCK_SEQPACKET socket", |p| {
        steal_fd(connect(&format!("{}.seq", p.get("UNIX_PATH")?), libc::SOCK_SEQPACKET)?)
    })
    .needs(&["UNIX_PATH"])
    .native(&["seccomp", "mount-ns", "landlock"]),
    attack("unix-dgram-in-workspace", CLASS, "send to the same service from one half of a datagram socketpair", |p| {
        let mut pair = [0i32; 2];
        sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_DGRAM, 0, pair.as_mut_ptr())?;
        let [one, _] = pair;
        let (to, length) = address(&format!("{}.dgram", p.get("UNIX_WORKSPACE")?));
        sys!(SYS_sendto, one, b"x".as_ptr(), 1, 0, at(&to), length)?;
        Ok("sent; the driver counts what arrives".into())
    })
    .needs(&["UNIX_WORKSPACE"])
    .native(&["seccomp", "landlock"]),
    attack("unix-in-workspace", CLASS, "connect to a socket that a host service keeps in the workspace", |p| {
        steal_fd(connect(p.get("UNIX_WORKSPACE")?, libc::SOCK_STREAM)?)
    })
    .needs(&["UNIX_WORKSPACE"])
    .native(&["seccomp", "landlock"]),
];

/// A connected socket; `@name` is abstract.
pub fn connect(name: &str, kind: i32) -> Result<usize, Stop> {
    let fd = sys!(SYS_socket, libc::AF_UNIX, kind, 0)?;
    let (to, length) = address(name);
    sys!(SYS_connect, fd, at(&to), length)?;
    Ok(fd)
}

fn address(name: &str) -> (libc::sockaddr_un, usize) {
    let mut to = libc::sockaddr_un::zeroed();
    to.sun_family = libc::AF_UNIX as u16;
    let abstract_name = name.starts_with('@');
    for (slot, byte) in to.sun_path.iter_mut().zip(name.bytes()) {
        *slot = byte.cast_signed();
    }
    if let (true, Some(first)) = (abstract_name, to.sun_path.first_mut()) {
        *first = 0;
    }
    (to, 2 + name.len() + usize::from(!abstract_name))
}

fn dgram(name: &str) -> Attempt {
    let fd = sys!(SYS_socket, libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    // An address of one's own, chosen by the kernel, for the answer to come to.
    let family = libc::AF_UNIX as u16;
    sys!(SYS_bind, fd, at(&family), 2)?;
    let (to, length) = address(name);
    sys!(SYS_sendto, fd, b"x".as_ptr(), 1, 0, at(&to), length)?;
    if readable(fd, 1000) { steal_fd(fd) } else { Err(crate::attack::no_effect("no answer within a second")) }
}
