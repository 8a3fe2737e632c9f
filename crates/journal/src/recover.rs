//! Taking up a journal after its writer died.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{fsync, ftruncate};

use crate::dir::{open_file, segment_name};
use crate::error::{JournalError, ReadError};
use crate::reader::Reader;
use crate::record::Record;
use crate::store::Store;
use crate::writer::{Options, Writer, io, lock};

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
    let dir = lock(dir)?;
    let copy =
        dir.try_clone().map_err(|error| io("dup", ".")(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
    let mut reader = Reader::from_dir(copy).map_err(JournalError::Damaged)?;
    let segment = reader.segments();
    let torn = loop {
        match reader.read() {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(ReadError::Torn { at, offset, bytes }) if at.segment == segment => {
                break Some((offset, bytes));
            }
            Err(error) => return Err(JournalError::Damaged(error)),
        }
    };
    let name = segment_name(segment);
    let (file, length) = open_file(&*dir, &name, OFlag::O_RDWR | OFlag::O_APPEND).map_err(io("openat", &name))?;
    let offset = reader.offset();
    if length != offset + torn.map_or(0, |(_, bytes)| bytes) {
        // It grew or shrank under the lock: someone writes it who does not take the lock.
        return Err(JournalError::Locked);
    }
    let store = Store::reopen(&*dir)?;
    let (seq, prev) = reader.head();
    let cut = match torn {
        None => None,
        Some((offset, bytes)) => Some(cut_tail(&store, &file, &name, offset, bytes)?),
    };
    // What the last writer wrote but did not flush is built upon now.
    fsync(&file).map_err(io("fsync", &name))?;
    let mut writer =
        Writer { dir, store, file, segment, length: offset, seq, prev, poison: None, options: Options::default() };
    if let Some(Cut { bytes, sha256 }) = &cut {
        let record = Record::Recovered { cut_bytes: *bytes, cut_sha256: sha256.clone() };
        writer.append(record)?;
        writer.commit()?;
    }
    Ok(Recovered { writer, cut })
}

/// Keeps the torn bytes as a blob, then cuts them off.
fn cut_tail(store: &Store, file: &OwnedFd, name: &str, offset: u64, bytes: u64) -> Result<Cut, JournalError> {
    let failed = |op: &'static str| {
        move |error: std::io::Error| io(op, name)(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    let copy = file.try_clone().map_err(failed("dup"))?;
    // A torn line is under MAX_LINE, or the reader would have called it too long.
    let mut tail = vec![0; usize::try_from(bytes).map_err(|_| JournalError::Exhausted)?];
    File::from(copy).read_exact_at(&mut tail, offset).map_err(failed("pread"))?;
    let digest = store.put(&tail)?;
    let end = i64::try_from(offset).map_err(|_| JournalError::Exhausted)?;
    ftruncate(file, end).map_err(io("ftruncate", name))?;
    Ok(Cut { bytes, sha256: digest })
}
