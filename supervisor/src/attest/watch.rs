//! The mount table of a cell while it runs.
//!
//! A cell cannot change its mounts, but the host can: who replaces or removes a file on which a mask lies (an
//! editor's save is enough) takes the mask away with it. The kernel tells pollers of /proc/PID/mountinfo
//! (proc(5)).

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};

use nix::unistd::Pid;
use stockade_plan::{Plan, What};

use crate::error::{Doing, RunError};

/// The table as it was read back.
#[derive(Debug)]
pub(crate) struct MountWatch {
    file: File,
    mounted: Vec<String>,
}

impl MountWatch {
    /// Remembers the table of a process whose plan hides something; `None` for others.
    pub(crate) fn begin(pid: Pid, plan: &Plan) -> Result<Option<Self>, RunError> {
        if !plan.root.iter().any(|entry| matches!(entry.what, What::Mask | What::Pin)) {
            return Ok(None);
        }
        let path = format!("/proc/{pid}/mountinfo");
        let mut watch = Self { file: File::open(&path).doing("open", &path)?, mounted: Vec::new() };
        watch.mounted = watch.read()?;
        Ok(Some(watch))
    }

    /// After the kernel told of a change: where something that was mounted is not any more.
    pub(crate) fn missing(&mut self) -> Result<Option<String>, RunError> {
        let now = self.read()?;
        let gone = self.mounted.iter().find(|line| !now.contains(line));
        Ok(gone.map(|line| line.split(' ').nth(4).unwrap_or("?").to_owned()))
    }

    fn read(&mut self) -> Result<Vec<String>, RunError> {
        let mut text = String::new();
        self.file.rewind().and_then(|()| self.file.read_to_string(&mut text)).doing("read", "mountinfo")?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl AsFd for MountWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
