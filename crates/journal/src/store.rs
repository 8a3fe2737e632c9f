//! Payloads that are too long for a line, in `blobs/<sha256>`.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, renameat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat, write};

use crate::dir::{BLOBS, create_file, open_dir, open_file};
use crate::error::JournalError;
use crate::hash::{hex, sha256};
use crate::room::Room;

/// A blob under construction. One name is enough, since a directory has one writer.
const TEMPORARY: &str = ".tmp";

/// The blobs of one journal.
#[derive(Debug)]
pub(crate) struct Store {
    dir: OwnedFd,
    /// For blobs, and for the lines of the journal that they belong to.
    pub(crate) room: Room,
}

impl Store {
    /// Makes the directory; it must not exist.
    pub(crate) fn create(journal: impl AsFd) -> Result<Self, JournalError> {
        match mkdirat(&journal, BLOBS, Mode::S_IRWXU) {
            Err(Errno::EEXIST) => return Err(JournalError::Exists { file: BLOBS.to_owned() }),
            other => other.map_err(io("mkdirat", BLOBS))?,
        }
        let dir = open_dir(journal, BLOBS).map_err(io("openat", BLOBS))?;
        fsync(&dir).map_err(io("fsync", BLOBS))?;
        Ok(Self { dir, room: Room::endless() })
    }

    /// Takes up the directory after a crash, and removes a blob that was not finished.
    pub(crate) fn reopen(journal: impl AsFd) -> Result<Self, JournalError> {
        let dir = open_dir(journal, BLOBS).map_err(io("openat", BLOBS))?;
        match unlinkat(&dir, TEMPORARY, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(Self { dir, room: Room::endless() }),
            Err(errno) => Err(io("unlinkat", TEMPORARY)(errno)),
        }
    }

    /// Makes `bytes` durable under their digest, and gives it. At return the file and its name are
    /// on disk, so that a line may name it.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<String, JournalError> {
        let digest = hex(&sha256(bytes));
        if self.holds(&digest, bytes.len())? {
            return Ok(digest);
        }
        self.room.take(bytes.len())?;
        let written = self.write_temporary(bytes).and_then(|()| self.publish(&digest, bytes.len()));
        if written.is_err() {
            // Best effort on the way out: recovery removes it too.
            let _ = unlinkat(&self.dir, TEMPORARY, UnlinkatFlags::NoRemoveDir);
        }
        written.map(|()| digest)
    }

    /// Whether the blob is there already; one of another size is an error.
    fn holds(&self, digest: &str, size: usize) -> Result<bool, JournalError> {
        let size = size as u64;
        match open_file(&self.dir, digest, OFlag::O_RDONLY) {
            Ok((_, found)) if found == size => Ok(true),
            Ok((_, found)) => Err(JournalError::BlobSize { sha256: digest.to_owned(), expected: size, found }),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(io("openat", digest)(errno)),
        }
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<(), JournalError> {
        let file = create_file(&self.dir, TEMPORARY).map_err(io("openat", TEMPORARY))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            match write(&file, rest) {
                Ok(0) => {
                    let wrote = bytes.len() - rest.len();
                    let file = TEMPORARY.to_owned();
                    return Err(JournalError::Short { file, wrote, wanted: bytes.len() });
                }
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io("write", TEMPORARY)(errno)),
            }
        }
        fsync(&file).map_err(io("fsync", TEMPORARY))
    }

    fn publish(&self, digest: &str, size: usize) -> Result<(), JournalError> {
        match renameat2(&self.dir, TEMPORARY, &self.dir, digest, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EEXIST) if self.holds(digest, size)? => {
                unlinkat(&self.dir, TEMPORARY, UnlinkatFlags::NoRemoveDir).map_err(io("unlinkat", TEMPORARY))?;
            }
            Err(errno) => return Err(io("renameat2", digest)(errno)),
        }
        fsync(&self.dir).map_err(io("fsync", BLOBS))
    }
}

fn io(op: &'static str, file: &str) -> impl FnOnce(Errno) -> JournalError {
    let file = if file == BLOBS { file.to_owned() } else { format!("{BLOBS}/{file}") };
    move |errno| JournalError::Io { op, file, errno }
}
