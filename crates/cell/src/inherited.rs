//! The descriptors a cell is born with.

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};

/// Why an inherited descriptor is not usable.
#[derive(Debug)]
pub(crate) enum InheritedError {
    /// It is not open.
    Missing(i32),
    /// It was taken before.
    Taken(i32),
    /// Its content could be changed by someone else while it is read.
    NotSealed(i32),
    /// It holds more than the given number of bytes.
    TooLong(i32, u64),
    /// It can't be read.
    Io(i32, io::Error),
}

impl std::fmt::Display for InheritedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(fd) => {
                write!(f, "descriptor {fd} was not inherited; this program is started by Stockade alone")
            }
            Self::Taken(fd) => write!(f, "descriptor {fd} was taken twice"),
            Self::NotSealed(fd) => write!(f, "descriptor {fd} is not a sealed memfd"),
            Self::TooLong(fd, max) => write!(f, "descriptor {fd} holds more than {max} bytes"),
            Self::Io(fd, e) => write!(f, "descriptor {fd}: {e}"),
        }
    }
}

impl std::error::Error for InheritedError {}

/// Takes ownership of an inherited descriptor, once.
#[allow(unsafe_code)]
pub(crate) fn take(fd: i32) -> Result<OwnedFd, InheritedError> {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let bit = u32::try_from(fd).ok().and_then(|n| 1u64.checked_shl(n)).ok_or(InheritedError::Missing(fd))?;
    if TAKEN.fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return Err(InheritedError::Taken(fd));
    }
    // SAFETY: the number is one of the contract's (`stockade_wire::cell`), which nothing in this
    // process opens: the callers take them before anything else is opened. `TAKEN` makes this
    // the only owner. Whether it is open is asked below, before any use.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    match fcntl(&owned, FcntlArg::F_GETFD) {
        Ok(_) => Ok(owned),
        Err(_) => {
            // It is not ours to close, nor open to be closed.
            std::mem::forget(owned);
            Err(InheritedError::Missing(fd))
        }
    }
}

/// Takes an inherited memfd that nobody can change any more.
pub(crate) fn take_sealed(fd: i32) -> Result<File, InheritedError> {
    let owned = take(fd)?;
    let needed = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    match fcntl(&owned, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate) {
        Ok(seals) if seals.contains(needed) => Ok(File::from(owned)),
        _ => Err(InheritedError::NotSealed(fd)),
    }
}

/// Reads a file from its start, whatever its offset, up to `max` bytes. `fd` is for the message.
pub(crate) fn read_all(file: &File, fd: i32, max: u64) -> Result<Vec<u8>, InheritedError> {
    let mut all = Vec::new();
    let mut chunk = vec![0u8; 256 << 10];
    loop {
        let at = all.len() as u64;
        let n = match file.read_at(&mut chunk, at) {
            Ok(0) => return Ok(all),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(InheritedError::Io(fd, e)),
        };
        if at + n as u64 > max {
            return Err(InheritedError::TooLong(fd, max));
        }
        all.extend_from_slice(chunk.get(..n).unwrap_or_default());
    }
}
