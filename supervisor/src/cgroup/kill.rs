//! Kill means gone: the end of groups.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Doing, RunError};

/// Kills every process of a v2 group and its children, and waits until none is left.
pub(crate) fn end_group(group: &Path, patience: Duration) -> Result<(), RunError> {
    match fs::write(group.join("cgroup.kill"), "1") {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.doing("kill cgroup", group)?,
    }
    wait_empty(group, patience)
}

/// Waits until no process is left in a v2 group. The kernel wakes pollers when it empties (cgroups(7),
/// `cgroup.events`).
pub(crate) fn wait_empty(group: &Path, patience: Duration) -> Result<(), RunError> {
    let path = group.join("cgroup.events");
    let mut file = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.doing("open", &path)?,
    };
    let deadline = Instant::now() + patience;
    loop {
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).doing("read", &path)?;
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::ETIMEDOUT).doing("wait for the end of", group);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLPRI)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).doing("wait for the end of", group),
        }
    }
}

/// Removes a group and the groups beneath it; they must be empty. What is not there is removed.
pub(crate) fn remove_tree(group: &Path, patience: Duration) -> Result<(), RunError> {
    let children = match fs::read_dir(group) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.doing("list", group)?,
    };
    for child in children.flatten().filter(|c| c.file_type().is_ok_and(|t| t.is_dir())) {
        remove_tree(&child.path(), patience)?;
    }
    let deadline = Instant::now() + patience;
    loop {
        match fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // A dead process leaves its v1 groups a moment after the v2 group says empty, and v1 has no
            // event for it.
            Err(e) if e.raw_os_error() == Some(Errno::EBUSY as i32) && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            Err(e) => return Err(e).doing("remove cgroup", group),
        }
    }
}
