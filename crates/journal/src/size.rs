//! How many bytes a journal has.

use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

/// Bytes of all files in the journal's directory and one level beneath it.
pub(crate) fn of(journal: &OwnedFd) -> Result<u64, Errno> {
    files(journal, true)
}

fn files(dir: impl AsFd, deeper: bool) -> Result<u64, Errno> {
    // A description of its own, as a directory is read from its offset.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut listing = Dir::from_fd(openat(&dir, ".", flags, Mode::empty())?)?;
    let mut bytes = 0_u64;
    for item in listing.iter() {
        let item = item?;
        let name = item.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        bytes = bytes.saturating_add(match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => u64::try_from(stat.st_size).unwrap_or(0),
            SFlag::S_IFDIR if deeper => files(openat(&dir, name, flags, Mode::empty())?, false)?,
            _ => 0,
        });
    }
    Ok(bytes)
}
