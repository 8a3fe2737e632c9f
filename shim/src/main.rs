//! `stockade-shim`: opens what it was given by name, hands it to the library, reports its end.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::socket::SockType;
use nix::sys::stat::Mode;
use stockade_shim::doors::{AGENT_FD, CELL_FD, CONTROL_FD, EGRESS_FD, check_socket};
use stockade_shim::sys::{fds, signals, unotify};
use stockade_shim::{Doors, ShimError, diagnose, run};

/// Where the launcher puts the journal's directory.
const JOURNAL: &str = "/journal";
/// Where the launcher puts the workspace, if there is one.
const WORKSPACE: &str = "/workspace";

fn main() -> ExitCode {
    match prepare().and_then(run) {
        Ok(()) => ExitCode::from(stockade_shim::error::exit::OK),
        Err(error) => {
            diagnose(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn prepare() -> Result<Doors, ShimError> {
    let os = |what| move |errno| ShimError::Os { what, errno };
    // Nobody of this uid may look into the process that holds the policy.
    prctl::set_dumpable(false).map_err(os("prctl(PR_SET_DUMPABLE)"))?;
    signals::ignore_write_signals().map_err(os("ignoring SIGPIPE and SIGXFSZ"))?;
    unotify::check_sizes().map_err(os("seccomp(SECCOMP_GET_NOTIF_SIZES)"))?;
    let control = fds::inherited(CONTROL_FD)
        .map_err(|errno| ShimError::Descriptor { fd: CONTROL_FD, problem: format!("not open ({errno})") })?;
    check_socket(CONTROL_FD, &control, SockType::SeqPacket)?;
    let cell = optional(CELL_FD, SockType::Stream)?;
    let agent = optional(AGENT_FD, SockType::Stream)?;
    let egress = optional(EGRESS_FD, SockType::SeqPacket)?;
    let journal = directory(JOURNAL).map_err(|errno| ShimError::Setup(format!("{JOURNAL}: {errno}")))?;
    let workspace = match directory(WORKSPACE) {
        Ok(workspace) => Some(workspace),
        Err(Errno::ENOENT) => None,
        Err(errno) => return Err(ShimError::Setup(format!("{WORKSPACE}: {errno}"))),
    };
    Ok(Doors { control, cell, agent, egress, journal, workspace })
}

/// A socket that not every run has.
fn optional(fd: i32, wanted: SockType) -> Result<Option<OwnedFd>, ShimError> {
    match fds::inherited(fd) {
        Ok(socket) => check_socket(fd, &socket, wanted).map(|()| Some(socket)),
        Err(Errno::EBADF) => Ok(None),
        Err(errno) => Err(ShimError::Descriptor { fd, problem: errno.to_string() }),
    }
}

fn directory(path: &str) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}
