//! Taking up a journal after its writer died.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::MAX_LINE;
use crate::beside::Beside;
use crate::dir::segment_name;
use crate::disk::{Access, Disk, Kernel};
use crate::error::{JournalError, ReadError};
use crate::reader::Reader;
use crate::record::Record;
use crate::segment::{Segment, io};
use crate::size;
use crate::writer::{Options, Writer, lock};

/// A journal that goes on.
#[derive(Debug)]
pub struct Recovered {
    /// Appends after the last whole line.
    pub writer: Writer,
    /// What was cut, if the last line was torn.
    pub cut: Option<Cut>,
}

/// A torn tail. Nothing in it had been acknowledged as durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Bytes cut.
    pub bytes: u64,
    /// SHA-256 of them, hex; `blobs/<sha256>` keeps them.
    pub sha256: String,
}

/// Checks the journal in `dir`, opened for reading, and goes on with it. A last line without a newline is what an
/// interrupted write leaves: it is kept as a blob, cut off and recorded as
/// [`Record::Recovered`], durably. Any other damage is an error and nothing is changed: no crash
/// leaves it.
pub fn recover(dir: OwnedFd) -> Result<Recovered, JournalError> {
    recover_on(Arc::new(Kernel), dir)
}

/// [`recover`] on a disk.
pub fn recover_on(disk: Arc<dyn Disk>, dir: OwnedFd) -> Result<Recovered, JournalError> {
    let dir = lock(dir)?;
    let copy =
        dir.try_clone().map_err(|error| io("dup", ".")(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
    let mut reader = Reader::from_dir(copy).map_err(JournalError::Damaged)?;
    let number = reader.segments();
    let torn = loop {
        match reader.read() {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(ReadError::Torn { at, offset, bytes }) if at.segment == number => {
                break Some((offset, bytes));
            }
            Err(error) => return Err(JournalError::Damaged(error)),
        }
    };
    let name = segment_name(number);
    let (file, length) = disk.open(dir.as_fd(), &name, Access::Mend).map_err(io("openat", &name))?;
    let file = Last { disk: &*disk, file, name: &name };
    let offset = reader.offset();
    if length != offset + torn.map_or(0, |(_, bytes)| bytes) {
        // It grew or shrank under the lock: someone writes it who does not take the lock.
        return Err(JournalError::Locked);
    }
    let (seq, prev) = reader.head();
    let beside = Beside::reopen(&disk, &dir, seq)?;
    let cut = match torn {
        None => None,
        Some((offset, bytes)) => Some(file.cut_tail(&beside, offset, bytes)?),
    };
    // Names may be in memory only.
    disk.sync(dir.as_fd()).map_err(io("fsync", "."))?;
    file.make_durable(offset)?;
    beside.room.begin_at(size::of(&dir).map_err(io("list", "."))?);
    let (append, _) = disk.open(dir.as_fd(), &name, Access::Append).map_err(io("openat", &name))?;
    let segment = Segment::of(&disk, append, number, offset);
    let options = Options::default();
    let mut writer = Writer { dir, disk, beside, segment, spare: 0, seq, prev, poison: None, options };
    if let Some(Cut { bytes, sha256 }) = &cut {
        let record = Record::Recovered { cut_bytes: *bytes, cut_sha256: sha256.clone() };
        writer.append(record)?;
        writer.commit()?;
    }
    Ok(Recovered { writer, cut })
}

/// The last segment.
struct Last<'a> {
    disk: &'a dyn Disk,
    file: OwnedFd,
    name: &'a str,
}

impl Last<'_> {
    /// Keeps the torn bytes as a blob, then cuts them off.
    fn cut_tail(&self, beside: &Beside, offset: u64, bytes: u64) -> Result<Cut, JournalError> {
        // A torn line is under MAX_LINE, or the reader would have called it too long.
        let mut tail = vec![0; usize::try_from(bytes).map_err(|_| JournalError::Exhausted)?];
        self.read(&mut tail, offset)?;
        let sha256 = beside.blob(&tail)?;
        self.disk.truncate(self.file.as_fd(), offset).map_err(io("ftruncate", self.name))?;
        Ok(Cut { bytes, sha256 })
    }

    /// Makes the first `length` bytes durable, and frees what was reserved after them. They are written again as they
    /// are: after a failed fsync(2) the kernel holds pages for clean that the disk never got, and would say that a
    /// second one succeeded.
    fn make_durable(&self, length: u64) -> Result<(), JournalError> {
        let mut buffer = vec![0; 16 * MAX_LINE];
        let mut offset = 0;
        while offset < length {
            let part = usize::try_from(length - offset).map_or(buffer.len(), |left| left.min(buffer.len()));
            let part = buffer.get_mut(..part).unwrap_or_default();
            self.read(part, offset)?;
            let mut rest = &*part;
            while !rest.is_empty() {
                match self.disk.write_at(self.file.as_fd(), rest, offset) {
                    Ok(0) => {
                        let file = self.name.to_owned();
                        return Err(JournalError::Short { file, wrote: 0, wanted: rest.len() });
                    }
                    Ok(wrote) => {
                        rest = rest.get(wrote..).unwrap_or_default();
                        offset += wrote as u64;
                    }
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(io("pwrite", self.name)(errno)),
                }
            }
        }
        self.disk.truncate(self.file.as_fd(), length).map_err(io("ftruncate", self.name))?;
        self.disk.sync(self.file.as_fd()).map_err(io("fsync", self.name))
    }

    /// Fills `bytes` from `offset`.
    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), JournalError> {
        let mut have = 0;
        while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.disk.read_at(self.file.as_fd(), rest, offset + have as u64) {
                // It shrank under the lock.
                Ok(0) => return Err(JournalError::Locked),
                Ok(read) => have += read,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io("pread", self.name)(errno)),
            }
        }
        Ok(())
    }
}
