//! Bytes beside the segments, each in a file that is named for their digest: `blobs/` holds payloads that are too long
//! for a line, `private/` those that may have to be forgotten.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::disk::{Access, Disk, is_no_reserve, is_no_space};
use crate::error::JournalError;
use crate::hash::{hex, sha256};

/// A file under construction. One name is enough, since a directory has one writer.
const TEMPORARY: &str = ".tmp";

/// One directory of such files.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    dir: OwnedFd,
    /// The directory's name.
    name: &'static str,
}

impl Store {
    /// Makes the directory, durably but for its name; it must not exist.
    pub(crate) fn create(disk: &Arc<dyn Disk>, journal: impl AsFd, name: &'static str) -> Result<Self, JournalError> {
        match disk.make_dir(journal.as_fd(), name) {
            Err(Errno::EEXIST) => return Err(JournalError::Exists { file: name.to_owned() }),
            other => other.map_err(io("mkdirat", name, ""))?,
        }
        let dir = disk.open_dir(journal.as_fd(), name).map_err(io("openat", name, ""))?;
        disk.sync(dir.as_fd()).map_err(io("fsync", name, ""))?;
        Ok(Self { disk: Arc::clone(disk), dir, name })
    }

    /// Takes up the directory after a crash, and removes a file that was not finished. `None` if there is none.
    pub(crate) fn reopen(
        disk: &Arc<dyn Disk>,
        journal: impl AsFd,
        name: &'static str,
    ) -> Result<Option<Self>, JournalError> {
        let dir = match disk.open_dir(journal.as_fd(), name) {
            Err(Errno::ENOENT) => return Ok(None),
            other => other.map_err(io("openat", name, ""))?,
        };
        match disk.unlink(dir.as_fd(), TEMPORARY) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(io("unlinkat", name, TEMPORARY)(errno)),
        }
        // A name that the last writer did not flush is built upon from now on.
        disk.sync(dir.as_fd()).map_err(io("fsync", name, ""))?;
        Ok(Some(Self { disk: Arc::clone(disk), dir, name }))
    }

    /// Makes `bytes` durable under their digest, and gives it. At return the file and its name are on disk, so that
    /// a line may name it. `take` is asked for the room that a new file needs.
    ///
    /// [`JournalError::NoSpace`] leaves things as they were.
    pub(crate) fn put(
        &self,
        bytes: &[u8],
        take: impl FnOnce(usize) -> Result<(), JournalError>,
    ) -> Result<String, JournalError> {
        let digest = hex(&sha256(bytes));
        if self.holds(&digest, bytes.len())? {
            return Ok(digest);
        }
        take(bytes.len())?;
        match self.write_temporary(bytes).and_then(|()| self.publish(&digest, bytes.len())) {
            Ok(()) => Ok(digest),
            Err(error) => {
                match (self.disk.unlink(self.dir.as_fd(), TEMPORARY), error) {
                    // It can be tried again, so it must be out of the way.
                    (Err(errno), JournalError::NoSpace { .. }) if errno != Errno::ENOENT => {
                        Err(io("unlinkat", self.name, TEMPORARY)(errno))
                    }
                    // Best effort on the way out: recovery removes it too.
                    (_, error) => Err(error),
                }
            }
        }
    }

    /// Whether the file is there already; one of another size is an error.
    fn holds(&self, digest: &str, size: usize) -> Result<bool, JournalError> {
        let size = size as u64;
        match self.disk.open(self.dir.as_fd(), digest, Access::Read) {
            Ok((_, found)) if found == size => Ok(true),
            Ok((_, found)) => Err(JournalError::BlobSize { sha256: digest.to_owned(), expected: size, found }),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(io("openat", self.name, digest)(errno)),
        }
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<(), JournalError> {
        let failed = |op| room_or_io(op, self.name, TEMPORARY, bytes.len());
        let file = self.disk.create(self.dir.as_fd(), TEMPORARY).map_err(failed("openat"))?;
        match self.disk.reserve(file.as_fd(), 0, bytes.len() as u64) {
            Err(errno) if errno != Errno::EINTR && !is_no_reserve(errno) => return Err(failed("fallocate")(errno)),
            _ => {}
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.disk.write(file.as_fd(), rest) {
                Ok(0) => {
                    let wrote = bytes.len() - rest.len();
                    let file = path(self.name, TEMPORARY);
                    return Err(JournalError::Short { file, wrote, wanted: bytes.len() });
                }
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed("write")(errno)),
            }
        }
        self.disk.sync(file.as_fd()).map_err(io("fsync", self.name, TEMPORARY))
    }

    fn publish(&self, digest: &str, size: usize) -> Result<(), JournalError> {
        match self.disk.rename(self.dir.as_fd(), TEMPORARY, digest, false) {
            Ok(()) => {}
            Err(Errno::EEXIST) if self.holds(digest, size)? => {
                let unlinked = self.disk.unlink(self.dir.as_fd(), TEMPORARY);
                unlinked.map_err(io("unlinkat", self.name, TEMPORARY))?;
            }
            Err(errno) => return Err(room_or_io("renameat2", self.name, digest, size)(errno)),
        }
        self.disk.sync(self.dir.as_fd()).map_err(io("fsync", self.name, ""))
    }
}

fn path(dir: &str, file: &str) -> String {
    if file.is_empty() { dir.to_owned() } else { format!("{dir}/{file}") }
}

fn io(op: &'static str, dir: &str, file: &str) -> impl FnOnce(Errno) -> JournalError {
    let file = path(dir, file);
    move |errno| JournalError::Io { op, file, errno }
}

/// [`JournalError::NoSpace`] if that is what it is.
fn room_or_io(op: &'static str, dir: &str, file: &str, bytes: usize) -> impl FnOnce(Errno) -> JournalError {
    let file = path(dir, file);
    move |errno| {
        if is_no_space(errno) {
            JournalError::NoSpace { file, bytes: bytes as u64, errno }
        } else {
            JournalError::Io { op, file, errno }
        }
    }
}
