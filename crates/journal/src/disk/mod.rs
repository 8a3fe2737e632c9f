//! What a journal asks of a file system: one narrow door, so that tests can stand in it and make each operation fail.
//!
//! Every change that [`crate::Writer`], the stores beside the segments, recovery, erasure and pruning make goes
//! through [`Disk`]. Reading for checks does not: it changes nothing, and what it can't read it reports.

mod kernel;

use std::fmt::Debug;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;

pub use kernel::Kernel;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing at its end.
    Append,
    /// Reading, and writing anywhere in it.
    Mend,
}

/// Operations on the files of a journal, each with the meaning that its man page gives it.
pub trait Disk: Debug + Send + Sync {
    /// mkdirat(2), mode 0700.
    fn make_dir(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), Errno>;
    /// openat(2) of a directory for reading, never through a symbolic link.
    fn open_dir(&self, dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno>;
    /// openat(2) of a file that must not exist, mode 0600, for appending.
    fn create(&self, dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno>;
    /// openat(2) of a regular file, with its size in bytes.
    fn open(&self, dir: BorrowedFd<'_>, name: &str, access: Access) -> Result<(OwnedFd, u64), Errno>;
    /// pread(2): bytes read, 0 at the end.
    fn read_at(&self, file: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> Result<usize, Errno>;
    /// write(2) at the end of the file: bytes taken, which may be fewer.
    fn write(&self, file: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno>;
    /// pwrite(2) to a file opened with [`Access::Mend`]: bytes taken, which may be fewer.
    fn write_at(&self, file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<usize, Errno>;
    /// fdatasync(2).
    fn sync_data(&self, file: BorrowedFd<'_>) -> Result<(), Errno>;
    /// fsync(2) of a file or a directory.
    fn sync(&self, file: BorrowedFd<'_>) -> Result<(), Errno>;
    /// ftruncate(2); to the length it has, it gives back blocks that were reserved past the end.
    fn truncate(&self, file: BorrowedFd<'_>, length: u64) -> Result<(), Errno>;
    /// fallocate(2) with FALLOC_FL_KEEP_SIZE: blocks for `length` bytes from `from`.
    fn reserve(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), Errno>;
    /// renameat2(2) in one directory; with `replace` false an existing `to` is `EEXIST`.
    fn rename(&self, dir: BorrowedFd<'_>, from: &str, to: &str, replace: bool) -> Result<(), Errno>;
    /// unlinkat(2) of a file.
    fn unlink(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), Errno>;
}

/// Whether the error says that the file system, or a quota on it, has no room: nothing was changed.
pub(crate) fn is_no_space(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSPC | Errno::EDQUOT)
}

/// Whether the file system has no fallocate(2), so that one goes on without.
pub(crate) fn is_no_reserve(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::ENODEV | Errno::EFBIG)
}
