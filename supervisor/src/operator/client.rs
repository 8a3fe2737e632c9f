//! The command's side.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, setsockopt, socket as make, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use stockade_wire::operator::{Answer, MAX_OPERATOR, Question};

use super::{folder, socket};
use crate::cgroup::end_group;
use crate::error::{Doing, RunError};
use crate::reserve;

/// How long a run may take to answer, in seconds. What a call does after its approval is not waited for.
const PATIENCE: i64 = 15;
/// How long killed processes may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Ids of the runs that live, oldest first.
///
/// # Errors
/// If the folder of their sockets cannot be listed.
pub fn live() -> Result<Vec<String>, RunError> {
    let entries = match fs::read_dir(folder()) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing("list", folder())?,
    };
    let names =
        entries.flatten().filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".sock")?.to_owned()));
    // What a crash left is a socket that nobody listens on.
    let mut runs: Vec<String> = names.filter(|run| connected(run).is_ok()).collect();
    runs.sort();
    Ok(runs)
}

/// Asks a run, and waits for its answer; `None` if there is no such run, or it ended meanwhile.
///
/// # Errors
/// If it does not answer, or the socket fails.
pub fn ask(run: &str, question: &Question) -> Result<Option<Answer>, RunError> {
    let path = socket(run);
    let text = serde_json::to_vec(question).map_err(|e| RunError::Internal(e.to_string()))?;
    let socket = match connected(run) {
        Ok(socket) => socket,
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
        Err(errno) => return Err(errno).doing("connect to", &path),
    };
    let patience = TimeVal::seconds(PATIENCE);
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience).doing("prepare", &path)?;
    setsockopt(&socket, sockopt::SendTimeout, &patience).doing("prepare", &path)?;
    match send(socket.as_raw_fd(), &text, MsgFlags::MSG_NOSIGNAL) {
        Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(None),
        other => other.doing("ask", &path)?,
    };
    let mut bytes = vec![0; MAX_OPERATOR];
    let len = loop {
        match recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(len) => break len,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT).doing("wait for the answer of", &path),
            Err(errno) => return Err(errno).doing("listen to", &path),
        }
    };
    let answer = serde_json::from_slice(bytes.get(..len).unwrap_or_default());
    answer.map(Some).map_err(|e| RunError::Internal(format!("run {run} answered what is no answer: {e}")))
}

/// Kills the cells of a run whose supervisor does not answer, by their groups, and waits until nothing of them lives.
/// Whether there was such a run.
///
/// # Errors
/// If the kernel does not do it.
pub fn stop_by_force(run: &str) -> Result<bool, RunError> {
    let Some(note) = reserve::note_of(run)? else { return Ok(false) };
    for group in fs::read_dir(&note.v2).doing("list", &note.v2)?.flatten() {
        let path = group.path();
        if path.is_dir() && group.file_name() != "shim" {
            end_group(&path, KILL_PATIENCE)?;
        }
    }
    Ok(true)
}

fn connected(run: &str) -> Result<OwnedFd, Errno> {
    let address = UnixAddr::new(&socket(run))?;
    let socket = make(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    connect(socket.as_raw_fd(), &address)?;
    Ok(socket)
}
