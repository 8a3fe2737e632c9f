//! The journal directory: names of its files and how they are opened.

use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};

/// Where payloads lie that are too long for a line.
pub(crate) const BLOBS: &str = "blobs";

/// Where payloads lie that may have to be forgotten.
pub(crate) const PRIVATE: &str = "private";

/// Highest segment number; names have eight digits.
pub(crate) const MAX_SEGMENT: u32 = 99_999_999;

/// Mode of files; the directory's owner alone reads and writes.
pub(crate) const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Name of a segment, counted from 1.
pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:08}.jsonl")
}

/// Number of a segment's name.
fn segment_number(name: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(name).ok()?.strip_suffix(".jsonl")?;
    let number = digits.parse().ok()?;
    (segment_name(number).as_bytes() == name && number > 0).then_some(number)
}

/// Highest segment number in the directory, or `None` if there is no segment.
pub(crate) fn last_segment(dir: impl AsFd) -> Result<Option<u32>, Errno> {
    // A description of its own: the caller's has an offset, and a directory is read from its offset.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::from_fd(openat(dir, ".", flags, Mode::empty())?)?;
    let mut last = None;
    for item in listing.iter() {
        last = last.max(segment_number(item?.file_name().to_bytes()));
    }
    Ok(last)
}

/// Names of the digest-named files in the directory.
pub(crate) fn list(dir: impl AsFd) -> Result<Vec<String>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::from_fd(openat(dir, ".", flags, Mode::empty())?)?;
    let mut names = Vec::new();
    for item in listing.iter() {
        let item = item?;
        names.extend(item.file_name().to_str().ok().filter(|name| crate::hash::is_digest(name)).map(str::to_owned));
    }
    Ok(names)
}

/// Opens a directory in `dir`, never through a symbolic link.
pub(crate) fn open_dir(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// Opens a regular file in `dir` and gives its size in bytes. Whatever else has the name, such as
/// a FIFO or a link that whoever owns the directory put there, is `EINVAL` or `ELOOP`, at once.
pub(crate) fn open_file(dir: impl AsFd, name: &str, access: OFlag) -> Result<(OwnedFd, u64), Errno> {
    let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Errno::EINVAL);
    }
    Ok((file, u64::try_from(stat.st_size).map_err(|_| Errno::EOVERFLOW)?))
}

/// Creates a file that must not exist, for appending.
pub(crate) fn create_file(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, FILE_MODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(segment_name(1), "00000001.jsonl");
        assert_eq!(segment_number(b"00000012.jsonl"), Some(12));
        for name in ["0000001.jsonl", "00000000.jsonl", "+0000001.jsonl", "00000001.json", ".", "x"] {
            assert_eq!(segment_number(name.as_bytes()), None, "{name}");
        }
    }
}
