//! What a shim is given, checked before it is used.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use nix::sys::stat::{SFlag, fstat};
use stockade_policy::Bundle;
use stockade_policy::bundle::MAX_BUNDLE;
use stockade_wire::control::{Setup, ToShim};

use crate::control::Control;
use crate::error::ShimError;

/// Descriptors of a shim: its conversations and its two directories.
#[derive(Debug)]
pub struct Doors {
    /// `SOCK_SEQPACKET`, to the supervisor.
    pub control: OwnedFd,
    /// `SOCK_STREAM`, to a wasm cell.
    pub cell: Option<OwnedFd>,
    /// `SOCK_STREAM`, to a native agent that speaks MCP.
    pub agent: Option<OwnedFd>,
    /// `SOCK_SEQPACKET`, to egress, if the run has one.
    pub egress: Option<OwnedFd>,
    /// An empty directory that is the shim's own.
    pub journal: OwnedFd,
    /// The workspace, if the run has one.
    pub workspace: Option<OwnedFd>,
}

/// Time the supervisor has for the setup message.
const PATIENCE: Duration = Duration::from_secs(30);

/// Number of the control socket's descriptor.
pub const CONTROL_FD: i32 = 3;
/// Number of the cell channel's descriptor.
pub const CELL_FD: i32 = 4;
/// Number of the descriptor of a native agent's MCP session.
pub const AGENT_FD: i32 = 6;
/// Number of the descriptor of the socket to egress.
pub const EGRESS_FD: i32 = 5;

/// Checks that `fd` is a socket of the type its contract says.
///
/// # Errors
/// [`ShimError::Descriptor`].
pub fn check_socket(fd: i32, socket: &impl AsFd, wanted: SockType) -> Result<(), ShimError> {
    match getsockopt(socket, sockopt::SockType) {
        Ok(found) if found == wanted => Ok(()),
        Ok(found) => Err(ShimError::Descriptor { fd, problem: format!("a {found:?} socket, not {wanted:?}") }),
        Err(e) => Err(ShimError::Descriptor { fd, problem: format!("not a socket ({e})") }),
    }
}

/// Waits for the setup message and reads the policy bundle that comes with it, if it has the name that was said.
///
/// # Errors
/// [`ShimError::Setup`], or what is wrong with the control socket.
pub fn receive_setup(control: &mut Control) -> Result<(Setup, Bundle), ShimError> {
    let deadline = Instant::now() + PATIENCE;
    let received = loop {
        if let Some(received) = control.receive()? {
            break received;
        }
        wait_readable(control.fd(), deadline)?;
    };
    let ToShim::Setup(setup) = received.message else {
        return Err(ShimError::Setup("the first message is not `setup`".to_owned()));
    };
    let [memfd] = <[OwnedFd; 1]>::try_from(received.rights)
        .map_err(|fds| ShimError::Setup(format!("{} descriptors came with it, not the policy's one", fds.len())))?;
    let bytes = read_sealed(&memfd).map_err(ShimError::Setup)?;
    let name = Bundle::name(&bytes);
    if name != setup.policy_bundle {
        return Err(ShimError::Setup(format!("policy bundle: it is {name}, announced was {:?}", setup.policy_bundle)));
    }
    let bundle = Bundle::decode(&bytes).map_err(|e| ShimError::Setup(e.to_string()))?;
    Ok((*setup, bundle))
}

fn wait_readable(fd: BorrowedFd<'_>, deadline: Instant) -> Result<(), ShimError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ShimError::Setup(format!("no message within {} s", PATIENCE.as_secs())));
    }
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(ShimError::Os { what: "poll", errno }),
    }
}

/// Reads a memfd that nobody can change any more.
fn read_sealed(memfd: &OwnedFd) -> Result<Vec<u8>, String> {
    let wanted = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    let seals = fcntl(memfd, FcntlArg::F_GET_SEALS).map_err(|e| format!("policy bundle: not a memfd ({e})"))?;
    let seals = SealFlag::from_bits_truncate(seals);
    if !seals.contains(wanted) {
        return Err(format!("policy bundle: seals are {seals:?}, wanted {wanted:?}"));
    }
    let stat = fstat(memfd).map_err(|e| format!("policy bundle: fstat: {e}"))?;
    let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFREG || size > MAX_BUNDLE {
        return Err(format!("policy bundle: {size} bytes; allowed are {MAX_BUNDLE}"));
    }
    let mut bytes = vec![0; size];
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        let at = i64::try_from(have).map_err(|e| e.to_string())?;
        match nix::sys::uio::pread(memfd, rest, at) {
            Ok(0) => return Err(format!("policy bundle: ends at {have} of {size} bytes")),
            Ok(n) => have += n,
            Err(Errno::EINTR) => {}
            Err(e) => return Err(format!("policy bundle: read: {e}")),
        }
    }
    Ok(bytes)
}
