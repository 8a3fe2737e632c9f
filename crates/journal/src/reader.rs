//! Streaming a journal and checking it on the way, in the memory of one line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::canonical::is_sorted;
use crate::dir::{last_segment, open_file, segment_name};
use crate::error::{At, ReadError};
use crate::hash::{ZERO, hex, leaf_hash};
use crate::record::{Entry, Payload, Record};
use crate::time::parse_time;
use crate::tombstone::{self, Tombstone};
use crate::{MAX_LINE, VERSION};

/// One checked line.
#[derive(Debug)]
pub struct Line<'a> {
    /// What it says.
    pub entry: Entry,
    /// Its bytes, without the newline.
    pub bytes: &'a [u8],
    /// Leaf hash of the bytes (RFC 6962); of a tombstone, of the bytes that were there.
    pub hash: [u8; 32],
    /// Where it is.
    pub at: At,
}

/// Reads the records of a journal in order. Each line is checked as it comes: length, form, canonical bytes,
/// sequence, chain, time, version. After the first error there is nothing more.
///
/// What a reader can't know is whether the *last* line is the one that was written, or whether it
/// was the last: that takes a head from elsewhere ([`crate::verify_to`]).
#[derive(Debug)]
pub struct Reader {
    dir: OwnedFd,
    /// The open segment and its number, from 1.
    file: BufReader<File>,
    segment: u32,
    last: u32,
    /// Of the line last read, in its segment.
    line: u64,
    /// Of the next line in its segment, in bytes.
    offset: u64,
    seq: u64,
    prev: [u8; 32],
    bytes: Vec<u8>,
    scratch: Vec<u8>,
    done: bool,
    /// Done since there is no more, not since something is wrong.
    ended: bool,
}

impl Reader {
    /// Opens the journal in the directory `path`. Segments that begin later are not read.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let name = || path.display().to_string();
        let dir = open(path, flags, Mode::empty()).map_err(|errno| ReadError::Io { file: name(), errno })?;
        Self::from_dir(dir).map_err(|error| match error {
            ReadError::NoSegment { .. } => ReadError::NoSegment { path: name() },
            other => other,
        })
    }

    /// Opens the journal in a directory that is opened for reading.
    pub fn from_dir(dir: OwnedFd) -> Result<Self, ReadError> {
        let last = last_segment(&dir)
            .map_err(|errno| ReadError::Io { file: ".".to_owned(), errno })?
            .ok_or(ReadError::NoSegment { path: String::new() })?;
        let file = open_segment(&dir, 1)?;
        Ok(Self {
            dir,
            file,
            segment: 1,
            last,
            line: 0,
            offset: 0,
            seq: 0,
            prev: ZERO,
            bytes: Vec::new(),
            scratch: Vec::new(),
            done: false,
            ended: false,
        })
    }

    /// The next line, or `None` after the last.
    pub fn read(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        if self.done {
            return Ok(None);
        }
        // Set again below, so that whatever fails here is the end.
        self.done = true;
        while !self.fill()? {
            if self.segment == self.last {
                self.ended = true;
                return Ok(None);
            }
            if self.line == 0 {
                return Err(ReadError::EmptySegment { file: segment_name(self.segment) });
            }
            self.segment += 1;
            self.file = open_segment(&self.dir, self.segment)?;
            self.line = 0;
            self.offset = 0;
        }
        let at = self.at();
        let (entry, hash) = match tombstone::read(&self.bytes, at) {
            Some(read) => self.check_tombstone(at, read?)?,
            None => (self.check(at)?, leaf_hash(&self.bytes)),
        };
        self.seq = entry.seq;
        self.prev = hash;
        self.done = false;
        Ok(Some(Line { entry, bytes: &self.bytes, hash, at }))
    }

    /// Looks again after the end, or after a last line without a newline: for a journal that is being written. What
    /// was read stays read, and lines and segments that have come since follow. After any other error there is nothing
    /// more, as before.
    ///
    /// # Errors
    /// Those of opening and listing.
    pub fn again(&mut self) -> Result<(), ReadError> {
        if !self.ended {
            return Ok(());
        }
        let io = |file: String| move |errno| ReadError::Io { file, errno };
        self.last = last_segment(&self.dir).map_err(io(".".to_owned()))?.unwrap_or(self.last).max(self.last);
        let seek = self.file.seek(SeekFrom::Start(self.offset));
        seek.map_err(|error| io(segment_name(self.segment))(errno(&error)))?;
        (self.ended, self.done) = (false, false);
        Ok(())
    }

    /// Number and hash of the last line read; zeros before the first.
    #[must_use]
    pub fn head(&self) -> (u64, [u8; 32]) {
        (self.seq, self.prev)
    }

    /// Segments that were there at opening.
    #[must_use]
    pub fn segments(&self) -> u32 {
        self.last
    }

    pub(crate) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Length in bytes of the complete lines of the segment being read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    fn at(&self) -> At {
        At { segment: self.segment, line: self.line }
    }

    /// Reads the bytes of one line into `self.bytes`; `false` at the end of the segment.
    fn fill(&mut self) -> Result<bool, ReadError> {
        self.bytes.clear();
        let mut limited = (&mut self.file).take(MAX_LINE as u64);
        let read = limited
            .read_until(b'\n', &mut self.bytes)
            .map_err(|error| ReadError::Io { file: segment_name(self.segment), errno: errno(&error) })?;
        if read == 0 {
            return Ok(false);
        }
        self.line += 1;
        if self.bytes.pop_if(|byte| *byte == b'\n').is_some() {
            self.offset += read as u64;
            return Ok(true);
        }
        // No newline: the end of the file, or more of a line than there may be.
        let more = self
            .file
            .fill_buf()
            .map_err(|error| ReadError::Io { file: segment_name(self.segment), errno: errno(&error) })?;
        if more.is_empty() && read < MAX_LINE {
            let at = self.at();
            self.line -= 1;
            self.ended = self.segment == self.last;
            Err(ReadError::Torn { at, offset: self.offset, bytes: read as u64 })
        } else {
            Err(ReadError::TooLong { at: self.at() })
        }
    }

    fn check(&mut self, at: At) -> Result<Entry, ReadError> {
        let entry: Entry = serde_json::from_slice(&self.bytes).map_err(|error| match other_version(&self.bytes) {
            Some(found) => ReadError::Version { at, found },
            None => ReadError::Malformed { at, what: error.to_string() },
        })?;
        self.check_canonical(at, &entry)?;
        let expected = self.seq.saturating_add(1);
        if entry.seq != expected {
            return Err(ReadError::Sequence { at, expected, found: entry.seq });
        }
        let prev = hex(&self.prev);
        if entry.prev != prev {
            let found = entry.prev.chars().take(64).collect();
            return Err(ReadError::Chain { at, expected: prev, found });
        }
        if parse_time(&entry.time).is_none() {
            return Err(ReadError::Time { at, found: entry.time.chars().take(64).collect() });
        }
        match &entry.record {
            Record::Start(start) if start.version != VERSION => Err(ReadError::Version { at, found: start.version }),
            _ => Ok(entry),
        }
    }

    /// What a tombstone stands for had the hash of the line before in it, which is gone: the next line's `prev` and the
    /// tree's root hold it.
    fn check_tombstone(
        &self,
        at: At,
        (Tombstone { seq, leaf }, hash): (Tombstone, [u8; 32]),
    ) -> Result<(Entry, [u8; 32]), ReadError> {
        let expected = self.seq.saturating_add(1);
        if seq != expected {
            return Err(ReadError::Sequence { at, expected, found: seq });
        }
        let record = Record::Tombstone { leaf };
        Ok((Entry { seq, time: String::new(), prev: hex(&self.prev), record }, hash))
    }

    /// Refuses lines that mean the same in other bytes, and fields that no record has: what is
    /// not understood has not been checked.
    fn check_canonical(&mut self, at: At, entry: &Entry) -> Result<(), ReadError> {
        self.scratch.clear();
        serde_json::to_writer(&mut self.scratch, entry)
            .map_err(|error| ReadError::Malformed { at, what: error.to_string() })?;
        if self.scratch != self.bytes {
            let same = self.scratch.iter().zip(&self.bytes).take_while(|(a, b)| a == b).count();
            return Err(ReadError::NotCanonical { at, column: same + 1 });
        }
        let sorted = match &entry.record {
            Record::Start(start) => is_sorted(&start.enforcement) && is_sorted(&start.settings),
            Record::Lifecycle { detail, .. } => is_sorted(detail),
            Record::Call(call) => is_sorted_payload(&call.args) && call.denial.as_ref().is_none_or(is_sorted),
            Record::Result(outcome) => is_sorted_payload(&outcome.body),
            _ => true,
        };
        if sorted {
            return Ok(());
        }
        // A build that keeps the order of keys: the other kind would have found it above.
        Err(ReadError::NotCanonical { at, column: 1 })
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map(|line| line.map(|line| line.entry)).transpose()
    }
}

/// The version of a `start` record that has other fields than ours.
fn other_version(line: &[u8]) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    let version = value.get("version").filter(|_| value.get("type").is_some_and(|t| t == "start"))?.as_u64()?;
    u32::try_from(version).ok().filter(|version| *version != VERSION)
}

fn is_sorted_payload(payload: &Payload) -> bool {
    match payload {
        Payload::Inline(value) => is_sorted(value),
        Payload::Blob { .. } | Payload::Private { .. } => true,
    }
}

fn open_segment(dir: &OwnedFd, number: u32) -> Result<BufReader<File>, ReadError> {
    let file = segment_name(number);
    match open_file(dir, &file, OFlag::O_RDONLY) {
        Ok((fd, _)) => Ok(BufReader::with_capacity(2 * MAX_LINE, File::from(fd))),
        Err(Errno::ENOENT) => Err(ReadError::MissingSegment { file }),
        Err(errno) => Err(ReadError::Io { file, errno }),
    }
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
