//! What can go wrong, with the operand.

use std::fmt;

use nix::errno::Errno;

use crate::dir::segment_name;

/// A line of a journal; shown as `00000001.jsonl:17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Segment, from 1.
    pub segment: u32,
    /// Line in it, from 1.
    pub line: u64,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", segment_name(self.segment), self.line)
    }
}

/// Why a record could not be kept. After any of these but [`JournalError::Clock`], [`JournalError::Encode`],
/// [`JournalError::Full`] and [`JournalError::NoSpace`] the writer is poisoned: it refuses everything that follows, since what
/// the disk holds is no longer known. Nothing that returned this has been recorded.
#[derive(Debug)]
pub enum JournalError {
    /// A system call on a journal file failed.
    Io {
        /// The call and what it was for.
        op: &'static str,
        /// File name in the journal directory.
        file: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// write(2) took a part of a line: the disk is full, or a file size limit was met.
    Short {
        /// File name in the journal directory.
        file: String,
        /// Bytes taken.
        wrote: usize,
        /// Bytes given.
        wanted: usize,
    },
    /// An earlier error ended this writer.
    Poisoned {
        /// The earlier error.
        cause: String,
    },
    /// The directory has a journal already.
    Exists {
        /// File name in the journal directory.
        file: String,
    },
    /// Another writer holds the directory's lock.
    Locked,
    /// A blob of this name is there with another size.
    BlobSize {
        /// Its digest, hex.
        sha256: String,
        /// Bytes expected.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// The record is over [`crate::MAX_LINE`] although each of its fields is bounded.
    TooLong {
        /// Bytes of the line.
        bytes: usize,
    },
    /// The record has no JSON form.
    Encode {
        /// What serde_json said.
        what: String,
    },
    /// The host's clock is outside the years 0000 to 9999.
    Clock,
    /// The record, or a blob of it, would pass what [`crate::Writer::allow`] allows.
    Full {
        /// Bytes of lines and blobs so far.
        used: u64,
        /// Bytes that would have been added.
        bytes: usize,
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// The file system, or a quota on it, has no room for the record, or for a blob of it, and for what
    /// [`crate::Writer::keep_free`] keeps. Nothing of it was written.
    NoSpace {
        /// File name in the journal directory.
        file: String,
        /// Bytes that were to be added.
        bytes: u64,
        /// `ENOSPC` or `EDQUOT`.
        errno: Errno,
    },
    /// The run has not ended: there is no `exit` or `reclaimed` in its last record, so nothing of it may go.
    NotEnded,
    /// There is no record of this number.
    NoRecord {
        /// The number.
        seq: u64,
    },
    /// Segment or sequence numbers are used up.
    Exhausted,
    /// Recovery met damage that no crash explains; nothing was changed.
    Damaged(ReadError),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { op, file, errno } => write!(f, "journal {file}: {op}: {}", errno.desc()),
            Self::Short { file, wrote, wanted } => write!(
                f,
                "journal {file}: only {wrote} of {wanted} bytes written; free space or raise the file size limit"
            ),
            Self::Poisoned { cause } => write!(f, "journal closed by an earlier error: {cause}"),
            Self::Exists { file } => {
                write!(f, "journal {file}: already there; a new journal wants an empty directory")
            }
            Self::Locked => write!(f, "journal: another process is writing it"),
            Self::BlobSize { sha256, expected, found } => {
                write!(f, "journal blobs/{sha256}: already there with {found} bytes where {expected} are right")
            }
            Self::TooLong { bytes } => write!(f, "journal: a record of {bytes} bytes fits no line"),
            Self::Encode { what } => write!(f, "journal: a record has no JSON form: {what}"),
            Self::Clock => write!(f, "journal: the clock is outside the years 0000 to 9999"),
            Self::Full { used, bytes, allowed } => {
                write!(f, "journal: {bytes} bytes more than the {used} it has would pass the {allowed} it may have")
            }
            Self::NoSpace { file, bytes, errno } => {
                let (what, remedy) = match errno {
                    Errno::EDQUOT => ("quota", "raise the quota or free space under it"),
                    _ => ("disk full", "free space on its file system"),
                };
                let said = errno.desc();
                write!(
                    f,
                    "journal {file}: {what} ({said}): no room for {bytes} bytes more and for the last records; {remedy}"
                )
            }
            Self::NotEnded => write!(f, "journal: the run has not ended; nothing was removed"),
            Self::NoRecord { seq } => write!(f, "journal: no record {seq}; nothing was removed"),
            Self::Exhausted => write!(f, "journal: no segment or sequence number is left"),
            Self::Damaged(error) => write!(f, "journal damaged, not recovered: {error}"),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { errno, .. } | Self::NoSpace { errno, .. } => Some(errno),
            Self::Damaged(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a journal can't be read or trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// A file could not be opened or read. `EINVAL` and `ELOOP` at opening: it is not a regular file.
    Io {
        /// Its name.
        file: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The directory has no segment.
    NoSegment {
        /// The directory, or empty if it was given as a descriptor.
        path: String,
    },
    /// There are segments but no record in them.
    NoRecord,
    /// A segment is missing before others that are there.
    MissingSegment {
        /// Its name.
        file: String,
    },
    /// A segment without a line that is not the last.
    EmptySegment {
        /// Its name.
        file: String,
    },
    /// A line over [`crate::MAX_LINE`].
    TooLong {
        /// Where.
        at: At,
    },
    /// The last line has no newline: a write was cut short. [`crate::recover`] cuts it.
    Torn {
        /// Where.
        at: At,
        /// Where the line begins in the segment, in bytes.
        offset: u64,
        /// Bytes of it.
        bytes: u64,
    },
    /// Not a record.
    Malformed {
        /// Where.
        at: At,
        /// What the parser said, with its column.
        what: String,
    },
    /// A record in other bytes than a writer would have used.
    NotCanonical {
        /// Where.
        at: At,
        /// First byte that differs, from 1.
        column: usize,
    },
    /// A sequence number that does not follow the one before.
    Sequence {
        /// Where.
        at: At,
        /// The number that follows.
        expected: u64,
        /// The number in the line.
        found: u64,
    },
    /// `prev` is not the hash of the line before.
    Chain {
        /// Where.
        at: At,
        /// Hash of the line before, hex.
        expected: String,
        /// What the line says.
        found: String,
    },
    /// Not a time of the one form that is written.
    Time {
        /// Where.
        at: At,
        /// What the line says.
        found: String,
    },
    /// A journal of another version.
    Version {
        /// Where.
        at: At,
        /// What the line says.
        found: u32,
    },
    /// A blob is missing, or it or a private value is not what its name says.
    Blob {
        /// The line that names it.
        at: At,
        /// `blobs` or `private`.
        store: &'static str,
        /// Its digest, hex.
        sha256: String,
        /// What is wrong with it.
        what: String,
    },
    /// The journal is shorter than a head that was seen of it: it was cut or rolled back.
    Rollback {
        /// Records of the head.
        expected: u64,
        /// Records found.
        found: u64,
    },
    /// The line at a head's place is not the line that the head was made of.
    Head {
        /// Where.
        at: At,
        /// Hash of the head, hex.
        expected: String,
        /// Hash of the line, hex.
        found: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, errno } => write!(f, "{file}: {}", errno.desc()),
            Self::NoSegment { path } => write!(f, "{path}: no journal here (no 00000001.jsonl)"),
            Self::NoRecord => write!(f, "{}: no record in it", segment_name(1)),
            Self::MissingSegment { file } => write!(f, "{file}: missing, though later segments exist"),
            Self::EmptySegment { file } => write!(f, "{file}: empty, though later segments exist"),
            Self::TooLong { at } => write!(f, "{at}: line over {} bytes", crate::MAX_LINE),
            Self::Torn { at, bytes, .. } => {
                write!(f, "{at}: torn line, {bytes} bytes without a newline")
            }
            Self::Malformed { at, what } => write!(f, "{at}: not a record: {what}"),
            Self::NotCanonical { at, column } => {
                write!(f, "{at}: column {column}: not the bytes a writer would have used")
            }
            Self::Sequence { at, expected, found } => {
                write!(f, "{at}: seq is {found}, expected {expected}")
            }
            Self::Chain { at, expected, found } => write!(
                f,
                "{at}: prev is {found:?}, but the line before hashes to {expected}: one of the two was changed"
            ),
            Self::Time { at, found } => write!(f, "{at}: time {found:?} is not RFC 3339 UTC with microseconds"),
            Self::Version { at, found } => {
                write!(f, "{at}: journal version {found}, this program reads {}", crate::VERSION)
            }
            Self::Blob { at, store, sha256, what } => write!(f, "{at}: {store}/{sha256}: {what}"),
            Self::Rollback { expected, found } => {
                write!(f, "rollback: {found} records, but a head was seen with {expected}")
            }
            Self::Head { at, expected, found } => {
                write!(f, "{at}: hashes to {found}, but the head seen there was {expected}")
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { errno, .. } => Some(errno),
            _ => None,
        }
    }
}
