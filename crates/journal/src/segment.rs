//! The segment that is being written, and the blocks that are reserved ahead of its end.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::dir::segment_name;
use crate::disk::{Disk, is_no_reserve, is_no_space};
use crate::error::JournalError;

/// Blocks are reserved ahead in steps of so many bytes.
const STEP: u64 = 1024 * 1024;
/// Granularity of what is reserved: a page, and no file system's block is over it by much.
const PAGE: u64 = 4096;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    disk: Arc<dyn Disk>,
    file: OwnedFd,
    /// From 1.
    pub(crate) number: u32,
    /// Bytes of its lines.
    pub(crate) length: u64,
    /// Offset up to which blocks are reserved; `None` where the file system does not do that.
    reserved: Option<u64>,
    /// How much is reserved at once; nothing more than is needed once the disk was seen to be nearly full.
    step: u64,
}

impl Segment {
    /// Begins a segment that must not exist; its name is on disk at return.
    pub(crate) fn begin(disk: &Arc<dyn Disk>, dir: &OwnedFd, number: u32) -> Result<Self, JournalError> {
        let name = segment_name(number);
        let file = match disk.create(dir.as_fd(), &name) {
            Err(Errno::EEXIST) => return Err(JournalError::Exists { file: name }),
            Err(errno) if is_no_space(errno) => return Err(JournalError::NoSpace { file: name, bytes: 0, errno }),
            other => other.map_err(io("openat", &name))?,
        };
        disk.sync(dir.as_fd()).map_err(io("fsync", "."))?;
        Ok(Self::of(disk, file, number, 0))
    }

    /// An open segment with `length` bytes of whole lines in it, and none after them.
    pub(crate) fn of(disk: &Arc<dyn Disk>, file: OwnedFd, number: u32, length: u64) -> Self {
        Self { disk: Arc::clone(disk), file, number, length, reserved: Some(length), step: STEP }
    }

    /// Sees that blocks are reserved for `bytes` more and for `spare` after them, so that a disk that fills up is met
    /// here, between two records, and not in the middle of one. Where blocks can't be reserved this does nothing.
    pub(crate) fn make_room(&mut self, bytes: u64, spare: u64) -> Result<(), JournalError> {
        let Some(reserved) = self.reserved else { return Ok(()) };
        let wanted = self.length.saturating_add(bytes).saturating_add(spare).next_multiple_of(PAGE);
        if wanted <= reserved {
            return Ok(());
        }
        let least = wanted - reserved;
        let mut more = least.max(self.step);
        loop {
            match self.disk.reserve(self.file.as_fd(), reserved, more) {
                Ok(()) => {
                    self.reserved = Some(reserved.saturating_add(more));
                    return Ok(());
                }
                Err(Errno::EINTR) => {}
                Err(errno) if is_no_space(errno) => {
                    if more == least {
                        return Err(JournalError::NoSpace { file: segment_name(self.number), bytes, errno });
                    }
                    // There may be room for less, and others want some of it.
                    self.step = 0;
                    more = least;
                }
                Err(errno) if is_no_reserve(errno) => {
                    self.reserved = None;
                    return Ok(());
                }
                Err(errno) => return Err(io("fallocate", &segment_name(self.number))(errno)),
            }
        }
    }

    /// Writes a line with one write(2).
    pub(crate) fn write(&mut self, line: &[u8]) -> Result<(), JournalError> {
        loop {
            return match self.disk.write(self.file.as_fd(), line) {
                Ok(wrote) if wrote == line.len() => {
                    self.length = self.length.saturating_add(line.len() as u64);
                    Ok(())
                }
                // Writing the rest later would let a reader see half a line, and hide a full disk.
                Ok(wrote) => Err(JournalError::Short { file: segment_name(self.number), wrote, wanted: line.len() }),
                // Nothing was written.
                Err(Errno::EINTR) => continue,
                Err(errno) => Err(io("write", &segment_name(self.number))(errno)),
            };
        }
    }

    /// Makes the lines durable.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.disk.sync_data(self.file.as_fd()).map_err(io("fdatasync", &segment_name(self.number)))
    }

    /// Gives back what was reserved and not used. Lines are not touched; blocks that stay reserved harm nobody but
    /// who counts them, so that a failure of this is none of the journal.
    pub(crate) fn trim(&mut self) {
        if self.reserved.is_some_and(|reserved| reserved > self.length) {
            let _kept = self.disk.truncate(self.file.as_fd(), self.length);
            self.reserved = Some(self.length);
        }
    }
}

pub(crate) fn io(op: &'static str, file: &str) -> impl FnOnce(Errno) -> JournalError {
    let file = file.to_owned();
    move |errno| JournalError::Io { op, file, errno }
}
