//! Forgetting private values.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use crate::dir::{PRIVATE, list, open_dir};
use crate::disk::{Disk, Kernel};
use crate::error::JournalError;
use crate::reader::Reader;
use crate::references::{Kind, of_env, references};
use crate::segment::io;
use crate::writer::lock;

/// Removes the private values that the record `seq` names, or all of a journal's, durably, and gives how many were
/// there. The journal in `dir` must have no writer. Its lines, and so its tree, stay as they are.
///
/// Removing is all: what a disk did with blocks that no file has any more is between it and its owner. On disks that
/// move data (flash, copy-on-write file systems, snapshots) overwriting reaches the old blocks no better.
pub fn erase(dir: OwnedFd, seq: Option<u64>) -> Result<u64, JournalError> {
    let dir = lock(dir)?;
    let private = match open_dir(&*dir, PRIVATE) {
        Ok(private) => Some(private),
        Err(Errno::ENOENT) => None,
        Err(errno) => return Err(io("openat", PRIVATE)(errno)),
    };
    let names = match (seq, &private) {
        (Some(seq), _) => named(&dir, seq)?,
        (None, Some(private)) => list(private).map_err(io("getdents", PRIVATE))?,
        (None, None) => Vec::new(),
    };
    private.map_or(Ok(0), |private| remove(&Kernel, &private, PRIVATE, &names))
}

/// Removes files of a directory, durably; gives how many were there.
pub(crate) fn remove(
    disk: &dyn Disk,
    dir: &OwnedFd,
    store: &'static str,
    names: &[String],
) -> Result<u64, JournalError> {
    let mut removed = 0;
    for name in names {
        match disk.unlink(dir.as_fd(), name) {
            Ok(()) => removed += 1,
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(io("unlinkat", &format!("{store}/{name}"))(errno)),
        }
    }
    if !names.is_empty() {
        disk.sync(dir.as_fd()).map_err(io("fsync", store))?;
    }
    Ok(removed)
}

/// The private values of one record.
fn named(dir: &OwnedFd, seq: u64) -> Result<Vec<String>, JournalError> {
    let copy = dir.try_clone().map_err(|e| io("dup", ".")(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
    let mut reader = Reader::from_dir(copy).map_err(JournalError::Damaged)?;
    while let Some(line) = reader.read().map_err(JournalError::Damaged)? {
        if line.entry.seq == seq {
            let (record, at) = (line.entry.record, line.at);
            let settings = reader.long_settings(&record, at).map_err(JournalError::Damaged)?;
            let private = references(&record).chain(settings.iter().flat_map(of_env));
            return Ok(private
                .filter(|named| named.kind == Kind::Private)
                .map(|named| named.sha256.to_owned())
                .filter(|name| crate::hash::is_digest(name))
                .collect());
        }
    }
    Err(JournalError::NoRecord { seq })
}
