//! What a payload stands for.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde_json::Value;

use crate::dir::{BLOBS, PRIVATE, open_dir, open_file};
use crate::error::{At, ReadError};
use crate::hash::{hex, is_digest, sha256};
use crate::reader::Reader;
use crate::record::{Payload, Record};
use crate::references::{self, Reference};

/// Bytes of salt before a private text.
pub(crate) const SALT: u64 = 32;
/// Longest payload that is read, in bytes. The longest that a shim writes is an answer of some megabytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Why a payload cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// A private payload whose text was erased, or is kept elsewhere.
    Erased,
    /// There is no such blob.
    Missing,
    /// The file is not what its name says, or no JSON.
    Changed,
    /// It has more bytes than are read.
    TooLong {
        /// How many.
        bytes: u64,
    },
    /// The kernel said no.
    Io {
        /// What it said.
        errno: Errno,
    },
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Erased => f.write_str("private, and its text is not here"),
            Self::Missing => f.write_str("its blob is missing"),
            Self::Changed => f.write_str("its blob is not what the record names"),
            Self::TooLong { bytes } => write!(f, "it has {bytes} bytes, at most {LONGEST} are read"),
            Self::Io { errno } => f.write_str(errno.desc()),
        }
    }
}

impl std::error::Error for Unread {}

impl Reader {
    /// The value of a payload of this journal: itself, or what its file holds, which is held against the record.
    ///
    /// # Errors
    /// [`Unread`]
    pub fn value(&self, payload: Payload) -> Result<Value, Unread> {
        let (folder, digest, before, size) = match &payload {
            Payload::Inline(_) => ("", "", 0, 0),
            Payload::Blob { sha256, size } => (BLOBS, sha256.as_str(), 0, *size),
            Payload::Private { sha256, size } => (PRIVATE, sha256.as_str(), SALT, *size),
        };
        if let Payload::Inline(value) = payload {
            return Ok(value);
        }
        if size > LONGEST {
            return Err(Unread::TooLong { bytes: size });
        }
        let gone = if folder == PRIVATE { Unread::Erased } else { Unread::Missing };
        let bytes = self.file(folder, digest, before + size).map_err(|error| match error {
            Unread::Io { errno: Errno::ENOENT } => gone,
            other => other,
        })?;
        if hex(&sha256(&bytes)) != digest {
            return Err(Unread::Changed);
        }
        let text = usize::try_from(before).ok().and_then(|salt| bytes.get(salt..)).ok_or(Unread::Changed)?;
        serde_json::from_slice(text).map_err(|_| Unread::Changed)
    }

    /// A bare value of a record, or what it names if it is a blob.
    ///
    /// # Errors
    /// [`Unread`]
    pub fn whole(&self, value: Value) -> Result<Value, Unread> {
        match references::of_value(&value) {
            Some(Reference { sha256, size, .. }) => {
                let sha256 = sha256.to_owned();
                self.value(Payload::Blob { sha256, size })
            }
            None => Ok(value),
        }
    }

    /// The settings of a start that are in a blob since they are long: what they name is not in the line.
    pub(crate) fn long_settings(&self, record: &Record, at: At) -> Result<Option<Value>, ReadError> {
        let Record::Start(start) = record else { return Ok(None) };
        let Some(named) = references::of_value(&start.settings) else { return Ok(None) };
        self.whole(start.settings.clone()).map(Some).map_err(|error| ReadError::Blob {
            at,
            store: BLOBS,
            sha256: named.sha256.chars().take(64).collect(),
            what: error.to_string(),
        })
    }

    fn file(&self, folder: &str, digest: &str, expected: u64) -> Result<Vec<u8>, Unread> {
        let io = |errno| Unread::Io { errno };
        if !is_digest(digest) {
            return Err(Unread::Changed);
        }
        let dir = open_dir(self.dir().as_fd(), folder).map_err(io)?;
        let (file, size) = open_file(&dir, digest, OFlag::O_RDONLY).map_err(io)?;
        if size != expected {
            return Err(Unread::Changed);
        }
        let mut bytes = Vec::new();
        let read = File::from(file).take(expected).read_to_end(&mut bytes);
        read.map_err(|error| io(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
        Ok(bytes)
    }
}
