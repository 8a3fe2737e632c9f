//! The operations as the kernel does them.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, RenameFlags, fallocate, renameat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{UnlinkatFlags, fdatasync, fsync, ftruncate, unlinkat, write};

use super::{Access, Disk};
use crate::dir;

/// The file system that the descriptors are on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

impl Disk for Kernel {
    fn make_dir(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        mkdirat(dir, name, Mode::S_IRWXU)
    }

    fn open_dir(&self, dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
        dir::open_dir(dir, name)
    }

    fn create(&self, dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
        dir::create_file(dir, name)
    }

    fn open(&self, dir: BorrowedFd<'_>, name: &str, access: Access) -> Result<(OwnedFd, u64), Errno> {
        let flags = match access {
            Access::Read => OFlag::O_RDONLY,
            Access::Append => OFlag::O_WRONLY | OFlag::O_APPEND,
            // pwrite(2) to a file that is opened for appending would append.
            Access::Mend => OFlag::O_RDWR,
        };
        dir::open_file(dir, name, flags)
    }

    fn read_at(&self, file: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> Result<usize, Errno> {
        pread(file, bytes, offset_of(offset)?)
    }

    fn write(&self, file: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
        write(file, bytes)
    }

    fn write_at(&self, file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        pwrite(file, bytes, offset_of(offset)?)
    }

    fn sync_data(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        fdatasync(file)
    }

    fn sync(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        fsync(file)
    }

    fn truncate(&self, file: BorrowedFd<'_>, length: u64) -> Result<(), Errno> {
        ftruncate(file, offset_of(length)?)
    }

    fn reserve(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), Errno> {
        fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset_of(from)?, offset_of(length)?)
    }

    fn rename(&self, dir: BorrowedFd<'_>, from: &str, to: &str, replace: bool) -> Result<(), Errno> {
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::RENAME_NOREPLACE };
        renameat2(dir, from, dir, to, flags)
    }

    fn unlink(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)
    }
}

fn offset_of(bytes: u64) -> Result<i64, Errno> {
    i64::try_from(bytes).map_err(|_| Errno::EFBIG)
}
