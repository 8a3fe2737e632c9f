//! Files below one folder: no name leads out of it or through a link, and what is written is on disk.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, read, unlinkat, write};

use super::LogError;

/// Mode of what everybody may read.
pub const PUBLIC: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR).union(Mode::S_IRGRP).union(Mode::S_IROTH);

/// Mode of a private key.
pub const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Mode of folders.
const FOLDER: Mode = Mode::S_IRWXU.union(Mode::S_IRGRP).union(Mode::S_IXGRP).union(Mode::S_IROTH).union(Mode::S_IXOTH);

/// A file that is being written; one name is enough, since there is one writer at a time.
const TEMPORARY: &str = ".tmp";

/// A file that is being erased.
const ERASED: &str = ".erased";

/// An open folder.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder by path.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(path, flags, Mode::empty()).map(Self).map_err(LogError::io("open", &path.to_string_lossy()))
    }

    /// Takes a folder that is open already.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// A whole file; `None` if there is none. One over `limit` bytes is an error.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, LogError> {
        let file = match self.at(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(LogError::io("open", name)(errno)),
        };
        regular(&file, name)?;
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match read(&file, &mut buffer) {
                Ok(0) => return Ok(Some(bytes)),
                Ok(n) => bytes.extend_from_slice(buffer.get(..n).unwrap_or_default()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(LogError::io("read", name)(errno)),
            }
            if bytes.len() > limit {
                return Err(LogError::damaged(name, format!("it is over {limit} bytes")));
            }
        }
    }

    /// [`Folder::read`] of a file that must be there and be text.
    pub fn text(&self, name: &str, limit: usize) -> Result<String, LogError> {
        let bytes = self.read(name, limit)?.ok_or_else(|| LogError::Missing { file: name.to_owned() })?;
        String::from_utf8(bytes).map_err(|_| LogError::damaged(name, "it is not UTF-8"))
    }

    /// Puts a file in place, whole or not at all. At return it and its name are on disk.
    pub fn put(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<(), LogError> {
        self.stage(TEMPORARY, bytes, mode)?;
        self.publish(TEMPORARY, name)
    }

    /// Writes a file and waits until its bytes, not its name, are on disk.
    pub(super) fn stage(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<(), LogError> {
        let file = self
            .at(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC, mode)
            .map_err(LogError::io("create", name))?;
        regular(&file, name)?;
        fchmod(&file, mode).map_err(LogError::io("fchmod", name))?;
        write_all(&file, bytes).and_then(|()| fsync(&file)).map_err(LogError::io("write", name))
    }

    /// Renames a staged file, making the folders that it takes.
    pub(super) fn publish(&self, staged: &str, name: &str) -> Result<(), LogError> {
        self.make_parents(name)?;
        renameat(&self.0, staged, &self.0, name).map_err(LogError::io("rename", name))?;
        self.sync_parent(name)
    }

    /// Takes a file away, overwrites it with zeros, on disk, and unlinks it. What a copy-on-write file system or the
    /// medium keeps of the old bytes is out of reach.
    pub fn erase(&self, name: &str) -> Result<(), LogError> {
        self.finish_erasing()?;
        // Under its name nobody ever finds a part of it.
        match renameat(&self.0, name, &self.0, ERASED) {
            Ok(()) => self.sync_parent(name)?,
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(LogError::io("rename", name)(errno)),
        }
        self.finish_erasing()
    }

    /// The rest of [`Folder::erase`], if a crash or an error left it undone.
    pub fn finish_erasing(&self) -> Result<(), LogError> {
        let file = match self.at(ERASED, OFlag::O_WRONLY, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(LogError::io("open", ERASED)(errno)),
        };
        let size = regular(&file, ERASED)?.min(64 * 1024);
        let zeros = vec![0; usize::try_from(size).unwrap_or_default()];
        write_all(&file, &zeros).and_then(|()| fsync(&file)).map_err(LogError::io("overwrite", ERASED))?;
        self.remove(ERASED)?;
        self.sync_parent(ERASED)
    }

    /// Unlinks a file, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), LogError> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(LogError::io("unlink", name)(errno)),
        }
    }

    /// Removes an empty folder, if it is there.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), LogError> {
        match unlinkat(&self.0, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(LogError::io("rmdir", name)(errno)),
        }
    }

    /// Whether a file is there.
    pub fn has(&self, name: &str) -> Result<bool, LogError> {
        match self.at(name, OFlag::O_PATH, Mode::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
            Err(errno) => Err(LogError::io("open", name)(errno)),
        }
    }

    /// Opens a file for a lock, making it if need be.
    pub(super) fn lock_file(&self, name: &str) -> Result<OwnedFd, LogError> {
        self.at(name, OFlag::O_RDWR | OFlag::O_CREAT, PUBLIC).map_err(LogError::io("open", name))
    }

    /// `openat2(2)`: nothing outside, no links.
    fn at(&self, name: &str, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(mode).resolve(resolve);
        openat2(&self.0, name, how)
    }

    fn make_parents(&self, name: &str) -> Result<(), LogError> {
        for (end, _) in name.match_indices('/') {
            let parent = name.get(..end).unwrap_or_default();
            match mkdirat(&self.0, parent, FOLDER) {
                Ok(()) => self.sync_parent(parent)?,
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(LogError::io("mkdir", parent)(errno)),
            }
        }
        Ok(())
    }

    /// Makes the name of a file durable.
    fn sync_parent(&self, name: &str) -> Result<(), LogError> {
        let Some((parent, _)) = name.rsplit_once('/') else {
            return fsync(self.0.as_fd()).map_err(LogError::io("fsync", "."));
        };
        let folder = self.at(parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty());
        folder.and_then(fsync).map_err(LogError::io("fsync", parent))
    }
}

/// Size of what must be a regular file.
fn regular(file: &OwnedFd, name: &str) -> Result<u64, LogError> {
    let stat = fstat(file).map_err(LogError::io("fstat", name))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(LogError::damaged(name, "it is no regular file"));
    }
    Ok(u64::try_from(stat.st_size).unwrap_or_default())
}

fn write_all(file: &OwnedFd, mut rest: &[u8]) -> Result<(), Errno> {
    while !rest.is_empty() {
        match write(file, rest) {
            Ok(0) => return Err(Errno::ENOSPC),
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
