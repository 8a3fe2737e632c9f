//! Appending records.

use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{fdatasync, fsync, write};
use serde_json::Value;

use crate::bound;
use crate::dir::{MAX_SEGMENT, create_file, segment_name};
use crate::error::JournalError;
use crate::hash::{ZERO, hex, leaf_hash};
use crate::record::{Entry, Payload, Record};
use crate::store::Store;
use crate::time::format_time;
use crate::{MAX_LINE, SEGMENT_BYTES};

/// What may be chosen about a writer.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment that would grow over this many bytes is closed and the next one begun. A
    /// segment holds at least one line.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES }
    }
}

/// A record that has been handed to the kernel. It is durable after the next
/// [`Writer::commit`] that returns `Ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its sequence number.
    pub seq: u64,
    /// Leaf hash of its line without the newline (RFC 6962).
    pub hash: [u8; 32],
}

/// The only writer of one journal directory, which it locks (flock(2)) while it lives.
///
/// After an error that leaves unknown what the disk holds it is poisoned and refuses everything:
/// a failed fsync(2) is never tried again, since the kernel may have dropped the pages.
#[derive(Debug)]
pub struct Writer {
    pub(crate) dir: Flock<OwnedFd>,
    pub(crate) store: Store,
    pub(crate) file: OwnedFd,
    pub(crate) segment: u32,
    /// Bytes of the open segment.
    pub(crate) length: u64,
    /// Sequence number of the last record, 0 if there is none.
    pub(crate) seq: u64,
    /// Leaf hash of the last line.
    pub(crate) prev: [u8; 32],
    pub(crate) poison: Option<String>,
    pub(crate) options: Options,
}

impl Writer {
    /// Begins a journal in an empty directory, opened for reading. The directory, its first segment
    /// and `blobs/` are on disk at return.
    pub fn create(dir: OwnedFd) -> Result<Self, JournalError> {
        Self::create_with(dir, Options::default())
    }

    /// [`Writer::create`] with options.
    pub fn create_with(dir: OwnedFd, options: Options) -> Result<Self, JournalError> {
        let dir = lock(dir)?;
        // Blobs first: a directory with a segment has them, whenever the machine stops.
        let store = Store::create(&*dir)?;
        let file = begin_segment(&dir, 1)?;
        Ok(Self { dir, store, file, segment: 1, length: 0, seq: 0, prev: ZERO, poison: None, options })
    }

    /// Bounds `record`, chains it to the last line and writes it with one write(2). Text over its
    /// bound is cut with a count, values over theirs become blobs: an agent can't make this fail.
    pub fn append(&mut self, record: Record) -> Result<Receipt, JournalError> {
        self.guarded(|writer| writer.append_unguarded(record))
    }

    /// Makes every record so far durable (fdatasync(2)).
    pub fn commit(&mut self) -> Result<(), JournalError> {
        self.guarded(|writer| fdatasync(&writer.file).map_err(io("fdatasync", &segment_name(writer.segment))))
    }

    /// A value for a record: itself, or the name of a blob that is durable at return if its JSON
    /// text is over [`crate::MAX_INLINE`] or too deeply nested for a line.
    pub fn payload(&mut self, value: Value) -> Result<Payload, JournalError> {
        self.guarded(|writer| bound::payload(Payload::Inline(value), &writer.store))
    }

    /// Bounds the bytes of lines and blobs together that this writer writes; [`JournalError::Full`] instead of more.
    /// There is no bound at first, and it may be raised later.
    pub fn allow(&mut self, bytes: u64) {
        self.store.room.allow(bytes);
    }

    /// Bytes of lines and blobs that this writer has written.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.store.room.used()
    }

    /// Number and hash (hex) of the last record; `(0, "00…0")` if there is none.
    #[must_use]
    pub fn head(&self) -> (u64, String) {
        (self.seq, hex(&self.prev))
    }

    /// Runs `action` unless poisoned, and is poisoned by what it can't know the outcome of.
    fn guarded<T>(&mut self, action: impl FnOnce(&mut Self) -> Result<T, JournalError>) -> Result<T, JournalError> {
        if let Some(cause) = &self.poison {
            return Err(JournalError::Poisoned { cause: cause.clone() });
        }
        let done = action(self);
        match &done {
            // These come before anything is written.
            Ok(_) | Err(JournalError::Clock | JournalError::Encode { .. } | JournalError::Full { .. }) => {}
            Err(error) => self.poison = Some(error.to_string()),
        }
        done
    }

    fn append_unguarded(&mut self, record: Record) -> Result<Receipt, JournalError> {
        let seq = self.seq.checked_add(1).ok_or(JournalError::Exhausted)?;
        let record = bound::fit(record, &self.store)?;
        let entry = Entry { seq, time: now()?, prev: hex(&self.prev), record };
        let mut line = serde_json::to_vec(&entry).map_err(|error| JournalError::Encode { what: error.to_string() })?;
        let hash = leaf_hash(&line);
        line.push(b'\n');
        if line.len() > MAX_LINE {
            return Err(JournalError::TooLong { bytes: line.len() });
        }
        self.store.room.take(line.len())?;
        let bytes = line.len() as u64;
        if self.length > 0 && self.length.saturating_add(bytes) > self.options.segment_bytes {
            self.roll()?;
        }
        self.write_line(&line)?;
        self.length = self.length.saturating_add(bytes);
        self.seq = seq;
        self.prev = hash;
        Ok(Receipt { seq, hash })
    }

    /// Closes the open segment, durably, and begins the next one.
    fn roll(&mut self) -> Result<(), JournalError> {
        fdatasync(&self.file).map_err(io("fdatasync", &segment_name(self.segment)))?;
        let next = self.segment + 1;
        if next > MAX_SEGMENT {
            return Err(JournalError::Exhausted);
        }
        self.file = begin_segment(&self.dir, next)?;
        self.segment = next;
        self.length = 0;
        Ok(())
    }

    fn write_line(&self, line: &[u8]) -> Result<(), JournalError> {
        let file = segment_name(self.segment);
        loop {
            return match write(&self.file, line) {
                Ok(wrote) if wrote == line.len() => Ok(()),
                // Writing the rest later would let a reader see half a line, and hide a full disk.
                Ok(wrote) => Err(JournalError::Short { file, wrote, wanted: line.len() }),
                // Nothing was written.
                Err(Errno::EINTR) => continue,
                Err(errno) => Err(io("write", &file)(errno)),
            };
        }
    }
}

/// Takes the directory's lock, or says that another writer has it.
pub(crate) fn lock(dir: OwnedFd) -> Result<Flock<OwnedFd>, JournalError> {
    Flock::lock(dir, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => JournalError::Locked,
        errno => io("flock", ".")(errno),
    })
}

fn begin_segment(dir: &OwnedFd, number: u32) -> Result<OwnedFd, JournalError> {
    let name = segment_name(number);
    let file = match create_file(dir, &name) {
        Err(Errno::EEXIST) => return Err(JournalError::Exists { file: name }),
        other => other.map_err(io("openat", &name))?,
    };
    fsync(dir).map_err(io("fsync", "."))?;
    Ok(file)
}

fn now() -> Result<String, JournalError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| JournalError::Clock)?;
    i64::try_from(since.as_micros()).ok().and_then(format_time).ok_or(JournalError::Clock)
}

pub(crate) fn io(op: &'static str, file: &str) -> impl FnOnce(Errno) -> JournalError {
    let file = file.to_owned();
    move |errno| JournalError::Io { op, file, errno }
}
