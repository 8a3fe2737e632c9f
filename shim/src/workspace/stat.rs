//! `workspace.stat`.

use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, fstat};
use serde_json::{Value, json};
use stockade_policy::WorkspacePath;

use super::{FsError, Kind, Workspace};

impl Workspace {
    /// What is at a path; a symbolic link is itself.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn stat(&self, path: &WorkspacePath) -> Result<Value, FsError> {
        let stat = match self.walk(path)? {
            Some(place) => place.open(OFlag::O_PATH)?.1,
            None => fstat(&self.root).map_err(FsError::of("fstat"))?,
        };
        let mtime_ms = stat.st_mtime.saturating_mul(1000).saturating_add(stat.st_mtime_nsec / 1_000_000);
        Ok(json!({ "kind": Kind::of(&stat).name(), "size": size(&stat), "mtime_ms": mtime_ms }))
    }
}

/// Bytes of a regular file; what a directory or a link says of its size means nothing to an agent.
pub(super) fn size(stat: &FileStat) -> u64 {
    match Kind::of(stat) {
        Kind::File => u64::try_from(stat.st_size).unwrap_or(0),
        _ => 0,
    }
}
