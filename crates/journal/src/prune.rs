//! Retention: records whose time is over become tombstones, which keep the tree.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::dir::{BLOBS, PRIVATE, list, open_dir, segment_name};
use crate::disk::{Disk, Kernel};
use crate::erase::remove;
use crate::error::JournalError;
use crate::reader::{Line, Reader};
use crate::record::Record;
use crate::references::{Kind, references};
use crate::segment::io;
use crate::tombstone;
use crate::writer::lock;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1024 * 1024;

/// What goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Calls that were allowed, results, what the agent logged, what a crash tore, and every private value. The start,
    /// refusals and the lifecycle stay.
    Payloads,
    /// Every record.
    All,
}

impl Extent {
    fn takes(self, record: &Record) -> bool {
        match record {
            Record::Tombstone { .. } => false,
            _ if self == Self::All => true,
            Record::Call(call) => call.decision == "allow",
            Record::Result(_) | Record::Log { .. } | Record::Recovered { .. } => true,
            // Its arguments are those of the call.
            Record::Approval(approval) => approval.state == "asked",
            Record::Start(_) | Record::Syscall(_) | Record::Lifecycle { .. } => false,
        }
    }
}

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Records that became tombstones.
    pub records: u64,
    /// Blobs removed.
    pub blobs: u64,
    /// Private values removed.
    pub private: u64,
}

/// Makes tombstones of the records that `extent` takes, in the journal in `dir`, which must have ended, be whole, and have no
/// writer. Each segment is written anew beside the old one, flushed, and takes its name; then the files go that only
/// those records named. A machine that stops in the middle leaves a whole journal, and the next call does the rest.
/// With `dry`, nothing is changed.
pub fn prune(dir: OwnedFd, extent: Extent, dry: bool) -> Result<Pruned, JournalError> {
    prune_on(Arc::new(Kernel), dir, extent, dry)
}

/// [`prune`] on a disk.
pub fn prune_on(disk: Arc<dyn Disk>, dir: OwnedFd, extent: Extent, dry: bool) -> Result<Pruned, JournalError> {
    let dir = lock(dir)?;
    let mut pruned = Pruned::default();
    let mut kept = HashSet::new();
    let mut ended = false;
    let mut changed = HashSet::new();
    each(&dir, |line| {
        if extent.takes(&line.entry.record) {
            pruned.records += 1;
            changed.insert(line.at.segment);
        } else {
            let blobs = references(&line.entry.record).filter(|named| named.kind == Kind::Blob);
            kept.extend(blobs.map(|named| named.sha256.to_owned()));
        }
        ended = is_end(&line.entry.record);
        Ok(())
    })?;
    if !ended {
        return Err(JournalError::NotEnded);
    }
    if !dry && !changed.is_empty() {
        rewrite(&*disk, &dir, extent, &changed)?;
    }
    for (store, count) in [(BLOBS, &mut pruned.blobs), (PRIVATE, &mut pruned.private)] {
        let folder = match open_dir(&*dir, store) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(io("openat", store)(errno)),
        };
        let mut names = list(&folder).map_err(io("getdents", store))?;
        names.retain(|name| store == PRIVATE || !kept.contains(name));
        *count = if dry { names.len() as u64 } else { remove(&*disk, &folder, store, &names)? };
    }
    Ok(pruned)
}

/// Whether nothing follows the record in a run's life. Who took all of it before found its end.
fn is_end(record: &Record) -> bool {
    match record {
        Record::Lifecycle { event, .. } => event == "exit" || event == "reclaimed",
        Record::Tombstone { .. } => true,
        _ => false,
    }
}

/// Shows each line.
fn each(dir: &OwnedFd, mut show: impl FnMut(&Line<'_>) -> Result<(), JournalError>) -> Result<(), JournalError> {
    let copy = dir.try_clone().map_err(|e| io("dup", ".")(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
    let mut reader = Reader::from_dir(copy).map_err(JournalError::Damaged)?;
    while let Some(line) = reader.read().map_err(JournalError::Damaged)? {
        show(&line)?;
    }
    Ok(())
}

/// Writes anew the segments that change.
fn rewrite(disk: &dyn Disk, dir: &OwnedFd, extent: Extent, changed: &HashSet<u32>) -> Result<(), JournalError> {
    let mut open: Option<Anew<'_>> = None;
    each(dir, |line| {
        if open.as_ref().is_none_or(|anew| anew.number != line.at.segment) {
            if let Some(done) = open.take() {
                done.finish()?;
            }
            if changed.contains(&line.at.segment) {
                open = Some(Anew::begin(disk, dir, line.at.segment)?);
            }
        }
        let Some(anew) = &mut open else { return Ok(()) };
        if extent.takes(&line.entry.record) {
            anew.write(&tombstone::line(line.entry.seq, &line.hash))
        } else {
            anew.write(line.bytes)
        }
    })?;
    if let Some(last) = open {
        last.finish()?;
    }
    disk.sync(dir.as_fd()).map_err(io("fsync", "."))
}

/// A segment that is written anew.
struct Anew<'a> {
    disk: &'a dyn Disk,
    dir: &'a OwnedFd,
    file: OwnedFd,
    number: u32,
    buffer: Vec<u8>,
    /// It has the segment's name, or may have.
    named: bool,
}

impl Drop for Anew<'_> {
    /// What failed leaves nothing: a disk that is full needs the room.
    fn drop(&mut self) {
        if !self.named {
            let _the_first_error_counts = self.disk.unlink(self.dir.as_fd(), &beside(self.number));
        }
    }
}

impl<'a> Anew<'a> {
    fn begin(disk: &'a dyn Disk, dir: &'a OwnedFd, number: u32) -> Result<Self, JournalError> {
        let name = beside(number);
        match disk.unlink(dir.as_fd(), &name) {
            // One that was interrupted.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(io("unlinkat", &name)(errno)),
        }
        let file = disk.create(dir.as_fd(), &name).map_err(io("openat", &name))?;
        Ok(Self { disk, dir, file, number, buffer: Vec::new(), named: false })
    }

    fn write(&mut self, line: &[u8]) -> Result<(), JournalError> {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let mut rest = &*self.buffer;
        while !rest.is_empty() {
            match self.disk.write(self.file.as_fd(), rest) {
                Ok(0) => {
                    let file = beside(self.number);
                    return Err(JournalError::Short { file, wrote: 0, wanted: rest.len() });
                }
                Ok(wrote) => rest = rest.get(wrote..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io("write", &beside(self.number))(errno)),
            }
        }
        self.buffer.clear();
        Ok(())
    }

    /// Makes it durable, and then the segment.
    fn finish(mut self) -> Result<(), JournalError> {
        self.flush()?;
        let (from, to) = (beside(self.number), segment_name(self.number));
        self.disk.sync(self.file.as_fd()).map_err(io("fsync", &from))?;
        self.named = true;
        self.disk.rename(self.dir.as_fd(), &from, &to, true).map_err(io("renameat2", &to))
    }
}

/// Name of a segment that is written anew.
fn beside(number: u32) -> String {
    format!("{}.new", segment_name(number))
}
