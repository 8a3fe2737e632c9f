//! The process that speaks with the outside, from here: it is told what the host knows, and gets sockets.

use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socket, socketpair};
use stockade_policy::Policy;
use stockade_wire::egress::{FromSupervisor, MAX_MESSAGE, Model, Serves, Setup, ToSupervisor, Wanted};

use crate::attest::{Moment, attest};
use crate::cgroup::{CellGroup, Limits};
use crate::error::{Doing, RunError};
use crate::launch::{Order, Pending};
use crate::memfd;
use crate::planner::{self, EgressInputs, Inside};
use crate::receive::receive_with_fd;
use crate::reserve::Range;
use crate::run::prepare::Process;
use crate::run::scene::Scene;
use crate::secrets;

/// What egress may use.
const LIMITS: Limits = Limits { memory: 256 << 20, pids: 2, cpu_millis: 1000 };
/// Longest wait for its first word.
const PATIENCE: Duration = Duration::from_secs(20);
/// Certificates of authorities, where distributions have them; `SSL_CERT_FILE` comes before (openssl(1)).
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
const MAX_AUTHORITIES: u64 = 8 << 20;
const RESOLVERS: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const MAX_FILE: u64 = 1 << 20;
/// Name servers that are asked (resolv.conf(5), `MAXNS`).
const MAX_RESOLVERS: usize = 3;
/// Names of the host that egress is told.
const MAX_HOSTS: usize = 512;

/// Egress that is being launched.
pub(super) struct Coming {
    control: OwnedFd,
    group: CellGroup,
    shim: OwnedFd,
}

/// Egress that runs.
pub(super) struct Egress {
    control: OwnedFd,
    pub process: Process,
}

/// The order for it, and the shim's end of their socket; `None` for a run that reaches nothing.
pub(super) fn order(scene: &Scene, diagnostics: &OwnedFd) -> Result<Option<(Order, Coming, OwnedFd)>, RunError> {
    let policy = &scene.request.policy;
    // What a replay answers is on record.
    if !planner::reaches_out(policy) || scene.heads.is_none() {
        return Ok(None);
    }
    let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (control, theirs) = pair().doing("make", "egress socket")?;
    let (shim, shims) = pair().doing("make", "egress socket")?;
    let group = CellGroup::create(&scene.hierarchies, &scene.run, "egress", Some(LIMITS))?;
    let order = planner::egress(
        &scene.home,
        EgressInputs {
            host_id: scene.reservation.host_id(Range::Egress),
            group: &group,
            landlock_abi: scene.landlock_abi,
            control: theirs,
            diagnostics: diagnostics.try_clone().doing("share", "diagnostics")?,
            policy,
        },
    )?;
    Ok(Some((order, Coming { control, group, shim }, shims)))
}

impl Coming {
    /// Reads it back, lets it run, and tells it what it must know. Gives its layers.
    pub(super) fn finish(self, pending: Pending, scene: &Scene) -> Result<(Egress, serde_json::Value), RunError> {
        let newborn = pending.finish()?;
        let process = Process { newborn, group: self.group, status: None, mounts: None };
        let layers = attest(&process.newborn, &process.group, &scene.hierarchies, Moment::BeforeExec)?;
        process.newborn.go()?;
        let egress = Egress { control: self.control, process };
        let policy = &scene.request.policy;
        let setup = Setup { resolvers: resolvers(), hosts: hosts(), models: models(policy) };
        let authorities = memfd::sealed("authorities", &authorities()?)?;
        let secrets = serde_json::to_vec(&secrets::read(policy)?).map_err(|e| RunError::Internal(e.to_string()))?;
        let secrets = memfd::sealed("secrets", &secrets)?;
        let rights = [self.shim.as_fd(), authorities.as_fd(), secrets.as_fd()];
        egress.send(&FromSupervisor::Setup(setup), &rights)?;
        let deadline = Instant::now() + PATIENCE;
        match egress.next(deadline)? {
            Some(ToSupervisor::Ready) => Ok((egress, layers)),
            other => Err(RunError::LaunchLost { what: "egress", detail: format!("its first word was {other:?}") }),
        }
    }
}

impl Egress {
    /// Hands over the sockets of a cell.
    pub(super) fn serve_cell(&self, inside: &Inside, sockets: &mut Vec<OwnedFd>) -> Result<(), RunError> {
        let serves: Vec<Serves> = inside.serves();
        let rights: Vec<OwnedFd> = std::mem::take(sockets);
        let rights: Vec<BorrowedFd<'_>> = rights.iter().map(AsFd::as_fd).collect();
        self.send(&FromSupervisor::Listeners { serves }, &rights)
    }

    /// Deals with what it says; false if it is gone or says what it must not.
    pub(super) fn hear(&self) -> bool {
        match self.receive() {
            Ok(Some(ToSupervisor::Socket(wanted))) => {
                let made = make(wanted).ok();
                let rights: Vec<BorrowedFd<'_>> = made.iter().map(AsFd::as_fd).collect();
                self.send(&FromSupervisor::Socket, &rights).is_ok()
            }
            _ => false,
        }
    }

    fn send(&self, message: &FromSupervisor, fds: &[BorrowedFd<'_>]) -> Result<(), RunError> {
        let text = serde_json::to_vec(message).map_err(|e| RunError::Internal(e.to_string()))?;
        if text.len() > MAX_MESSAGE {
            return Err(RunError::Internal(format!("a message to egress has {} bytes", text.len())));
        }
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        // It takes what it asked for; one that does not is not waited for.
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let sent = sendmsg::<()>(self.control.as_raw_fd(), &[IoSlice::new(&text)], control, flags, None);
        sent.map(drop).doing("talk to", "egress")
    }

    fn next(&self, deadline: Instant) -> Result<Option<ToSupervisor>, RunError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)) {
            Ok(0) => Err(RunError::LaunchLost { what: "egress", detail: "no word from it in time".into() }),
            Ok(_) => self.receive(),
            Err(Errno::EINTR) => self.next(deadline),
            Err(errno) => Err(errno).doing("wait for", "egress"),
        }
    }

    fn receive(&self) -> Result<Option<ToSupervisor>, RunError> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let (len, _fd) = match receive_with_fd(&self.control, &mut IoSliceMut::new(&mut bytes)) {
            Err(Errno::ECONNRESET) => return Ok(None),
            other => other.doing("listen to", "egress")?,
        };
        let text = bytes.get(..len).filter(|text| !text.is_empty());
        let message = text.map(serde_json::from_slice).transpose();
        message.map_err(|e| RunError::Internal(format!("egress said something that is no message: {e}")))
    }
}

impl AsFd for Egress {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

/// A socket of the host's network, bound and connected to nothing.
fn make(wanted: Wanted) -> Result<OwnedFd, Errno> {
    let family = if wanted.v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let kind = if wanted.udp { SockType::Datagram } else { SockType::Stream };
    socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

/// Addresses of this machine, for the shim: they are global ones, perhaps, and inside all the same.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten();
    let mut found: Vec<IpAddr> = all
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The start of a file that may be missing.
fn text_of(path: &str) -> String {
    let mut text = Vec::new();
    let _partial = File::open(path).map(|file| file.take(MAX_FILE).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

fn resolvers() -> Vec<SocketAddr> {
    resolvers_in(&text_of(RESOLVERS))
}

fn resolvers_in(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        // A zone (`fe80::1%eth0`) is of no use: its interface is not in what is handed over.
        Some(SocketAddr::new(address.parse().ok()?, 53))
    });
    servers.take(MAX_RESOLVERS).collect()
}

fn hosts() -> Vec<(String, IpAddr)> {
    hosts_in(&text_of(HOSTS))
}

fn hosts_in(text: &str) -> Vec<(String, IpAddr)> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        Some(words.map(move |name| (name.to_ascii_lowercase(), address)).collect::<Vec<_>>())
    });
    lines.flatten().take(MAX_HOSTS).collect()
}

fn models(policy: &Policy) -> Vec<Model> {
    let one = |rule: &stockade_policy::ModelRule| Model {
        name: rule.name.clone(),
        url: rule.url.clone(),
        models: rule.models.clone(),
    };
    policy.models.iter().map(one).collect()
}

/// The certificates that this host trusts. Without any no TLS could be verified.
fn authorities() -> Result<Vec<u8>, RunError> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let path = named.or_else(|| AUTHORITIES.iter().map(PathBuf::from).find(|path| path.exists()));
    let path = path.ok_or_else(|| {
        RunError::Host(format!(
            "no certificates of authorities are in {}, so no TLS can be verified; install ca-certificates, or name a file in SSL_CERT_FILE",
            AUTHORITIES.join(", ")
        ))
    })?;
    read_authorities(&path)
}

fn read_authorities(path: &Path) -> Result<Vec<u8>, RunError> {
    let refuse = |why: String| RunError::Host(format!("certificates of authorities in {}: {why}", path.display()));
    let size = fs::metadata(path).map_err(|e| refuse(e.to_string()))?.len();
    if size > MAX_AUTHORITIES {
        return Err(refuse(format!("{size} bytes, at most {MAX_AUTHORITIES} are read")));
    }
    fs::read(path).map_err(|e| refuse(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_host_are_read_as_their_pages_say() {
        let text = "# x\nnameserver 127.0.0.53\nsearch a b\nnameserver ::1\nnameserver fe80::1%eth0\n nameserver 9.9.9.9\nnameserver 1.1.1.1\n";
        let found: Vec<String> = resolvers_in(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.53:53", "[::1]:53", "9.9.9.9:53"]);
        let found = hosts_in("127.0.0.1 localhost # me\n\nbad name\n10.0.0.1\tA.internal a\n");
        let found: Vec<_> = found.iter().map(|(name, ip)| format!("{name}={ip}")).collect();
        assert_eq!(found, ["localhost=127.0.0.1", "a.internal=10.0.0.1", "a=10.0.0.1"]);
    }
}
