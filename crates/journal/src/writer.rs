//! Appending records.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::beside::Beside;
use crate::bound;
use crate::dir::{MAX_SEGMENT, segment_name};
use crate::disk::{Disk, Kernel};
use crate::error::JournalError;
use crate::hash::{ZERO, hex, leaf_hash};
use crate::record::{Entry, Payload, Record};
use crate::segment::{Segment, io};
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
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) beside: Beside,
    pub(crate) segment: Segment,
    /// Bytes that records must leave reserved.
    pub(crate) spare: u64,
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
        Self::create_on(Arc::new(Kernel), dir, options)
    }

    /// [`Writer::create`] with options, on a disk.
    pub fn create_on(disk: Arc<dyn Disk>, dir: OwnedFd, options: Options) -> Result<Self, JournalError> {
        let dir = lock(dir)?;
        // Blobs first: the segment flushes the name of both.
        let beside = Beside::create(&disk, &dir)?;
        let segment = Segment::begin(&disk, &dir, 1)?;
        Ok(Self { dir, disk, beside, segment, spare: 0, seq: 0, prev: ZERO, poison: None, options })
    }

    /// Bounds `record`, chains it to the last line and writes it with one write(2). Text over its
    /// bound is cut with a count, values over theirs become blobs: an agent can't make this fail.
    pub fn append(&mut self, record: Record) -> Result<Receipt, JournalError> {
        self.guarded(|writer| writer.append_unguarded(record))
    }

    /// Makes every record so far durable (fdatasync(2)).
    pub fn commit(&mut self) -> Result<(), JournalError> {
        self.guarded(|writer| writer.segment.sync())
    }

    /// A value for a record: itself, or the name of a blob that is durable at return if its JSON
    /// text is over [`crate::MAX_INLINE`] or too deeply nested for a line.
    pub fn payload(&mut self, value: Value) -> Result<Payload, JournalError> {
        self.guarded(|writer| bound::payload(Payload::Inline(value), &writer.beside))
    }

    /// A value for a record that may have to be forgotten: a commitment to it, with `salt`, which must come from the
    /// kernel's random source. Salt and JSON text are durable at return, in `private/`; without that file nobody
    /// learns from the record what the value was, nor can try guesses at it.
    pub fn private(&mut self, mut value: Value, salt: [u8; 32]) -> Result<Payload, JournalError> {
        self.guarded(|writer| {
            value.sort_all_objects();
            let mut bytes = salt.to_vec();
            serde_json::to_writer(&mut bytes, &value)
                .map_err(|error| JournalError::Encode { what: error.to_string() })?;
            let size = (bytes.len() - salt.len()) as u64;
            let sha256 = writer.beside.private(&writer.disk, &writer.dir, &bytes)?;
            Ok(Payload::Private { sha256, size })
        })
    }

    /// Keeps `bytes` after the last record reserved on the file system: a record that would need them is
    /// [`JournalError::NoSpace`], and nothing is lost but that record. It may be lowered later, when what is left to be
    /// said is what they were kept for. Where blocks can't be reserved nothing is kept.
    pub fn keep_free(&mut self, bytes: u64) {
        self.spare = bytes;
    }

    /// Gives back the blocks that were reserved and not used. The journal may go on after it.
    pub fn trim(&mut self) {
        self.segment.trim();
    }

    /// Bounds the bytes of lines and blobs together that this writer writes; [`JournalError::Full`] instead of more.
    /// There is no bound at first, and it may be raised later.
    pub fn allow(&mut self, bytes: u64) {
        self.beside.room.allow(bytes);
    }

    /// Bytes of lines and blobs of the journal: what this writer has written, and what it found.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.beside.room.used()
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
            // These come before anything is written, or leave it as it was.
            Ok(_)
            | Err(
                JournalError::Clock
                | JournalError::Encode { .. }
                | JournalError::Full { .. }
                | JournalError::NoSpace { .. },
            ) => {}
            Err(error) => self.poison = Some(error.to_string()),
        }
        done
    }

    fn append_unguarded(&mut self, record: Record) -> Result<Receipt, JournalError> {
        let seq = self.seq.checked_add(1).ok_or(JournalError::Exhausted)?;
        let record = bound::fit(record, &self.beside)?;
        let entry = Entry { seq, time: now()?, prev: hex(&self.prev), record };
        let mut line = serde_json::to_vec(&entry).map_err(|error| JournalError::Encode { what: error.to_string() })?;
        let hash = leaf_hash(&line);
        line.push(b'\n');
        if line.len() > MAX_LINE {
            return Err(JournalError::TooLong { bytes: line.len() });
        }
        let used = self.beside.room.used();
        self.beside.room.take(line.len())?;
        if let Err(error) = self.make_room(line.len() as u64) {
            self.beside.room.give_back_to(used);
            return Err(error);
        }
        self.segment.write(&line)?;
        self.seq = seq;
        self.prev = hash;
        Ok(Receipt { seq, hash })
    }

    /// Sees to a segment with room for `bytes`.
    fn make_room(&mut self, bytes: u64) -> Result<(), JournalError> {
        let over = self.segment.length.saturating_add(bytes) > self.options.segment_bytes;
        if self.segment.length > 0 && over {
            match self.roll(bytes) {
                // This one has room yet: the records that the reserve is for go there.
                Err(JournalError::NoSpace { .. }) => {}
                other => return other,
            }
        }
        self.segment.make_room(bytes, self.spare)
    }

    /// Closes the open segment, durably, and begins the next one, with room for `bytes`.
    fn roll(&mut self, bytes: u64) -> Result<(), JournalError> {
        self.segment.sync()?;
        let number = self.segment.number + 1;
        if number > MAX_SEGMENT {
            return Err(JournalError::Exhausted);
        }
        let mut next = Segment::begin(&self.disk, &self.dir, number)?;
        if let Err(error) = next.make_room(bytes, self.spare) {
            let name = segment_name(number);
            self.disk.unlink(self.dir.as_fd(), &name).map_err(io("unlinkat", &name))?;
            // Or a crash would leave it behind a line that was cut short.
            self.disk.sync(self.dir.as_fd()).map_err(io("fsync", "."))?;
            return Err(error);
        }
        self.segment.trim();
        self.segment = next;
        Ok(())
    }
}

/// Takes the directory's lock, or says that another writer has it.
pub(crate) fn lock(dir: OwnedFd) -> Result<Flock<OwnedFd>, JournalError> {
    Flock::lock(dir, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => JournalError::Locked,
        errno => io("flock", ".")(errno),
    })
}

fn now() -> Result<String, JournalError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| JournalError::Clock)?;
    i64::try_from(since.as_micros()).ok().and_then(format_time).ok_or(JournalError::Clock)
}
