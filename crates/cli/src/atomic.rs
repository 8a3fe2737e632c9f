//! Files that are there as a whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

/// Who owns a file, and its mode.
#[derive(Debug, Clone, Copy)]
pub struct Owned {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions, without the bits that give them away.
    pub mode: u32,
}

/// A folder, held open.
#[derive(Debug)]
pub struct Folder(File);

fn io(errno: Errno) -> io::Error {
    io::Error::from(errno)
}

impl Folder {
    /// Opens a folder; the name itself must not be a link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        open(path, flags, Mode::empty()).map(|fd| Self(fd.into())).map_err(io)
    }

    /// Who owns it, and its mode.
    ///
    /// # Errors
    /// The kernel's.
    pub fn owned(&self) -> io::Result<Owned> {
        nix::sys::stat::fstat(&self.0).map(|stat| owned(&stat)).map_err(io)
    }

    /// What a name in it is, links not followed: a regular file, or nothing.
    ///
    /// # Errors
    /// The kernel's, and if it is something else.
    pub fn file(&self, name: &str) -> io::Result<Option<FileStat>> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG => Ok(Some(stat)),
            Ok(_) => Err(io::Error::other("it is a symbolic link, or no regular file")),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(io(errno)),
        }
    }

    /// Puts a file there in the place of what has that name, or leaves everything as it was.
    ///
    /// # Errors
    /// The kernel's.
    pub fn put(&self, name: &str, bytes: &[u8], as_: Owned) -> io::Result<()> {
        let new = format!(".{name}.stockade-{}", std::process::id());
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(self.0.as_fd(), new.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(io)?;
        let done = self
            .fill(File::from(file), bytes, as_)
            .and_then(|()| renameat(self.0.as_fd(), new.as_str(), self.0.as_fd(), name).map_err(io));
        if done.is_err() {
            // What is left over is of no use to anybody; the first error is what counts.
            let _ = unlinkat(self.0.as_fd(), new.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        done?;
        self.0.sync_all()
    }

    fn fill(&self, mut file: File, bytes: &[u8], as_: Owned) -> io::Result<()> {
        file.write_all(bytes)?;
        let now = file_owned(&file)?;
        if (now.uid, now.gid) != (as_.uid, as_.gid) {
            fchown(&file, Some(Uid::from_raw(as_.uid)), Some(Gid::from_raw(as_.gid))).map_err(io)?;
        }
        fchmod(&file, Mode::from_bits_truncate(as_.mode)).map_err(io)?;
        file.sync_all()
    }
}

fn file_owned(file: &File) -> io::Result<Owned> {
    nix::sys::stat::fstat(file).map(|stat| owned(&stat)).map_err(io)
}

/// Of what the kernel tells of a file.
#[must_use]
pub fn owned(stat: &FileStat) -> Owned {
    Owned { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o777 }
}
