//! The workspace tools. Everything is reached from one directory descriptor by openat2(2), beneath
//! it, without following a symbolic link or crossing a mount; what is checked is the descriptor
//! that is used.
//!
//! Three decisions worth knowing:
//! * A regular file with more than one hard link is neither read nor written. Its other name may lie
//!   outside the workspace or under a denied path, and no one can tell from the inside. Copy it.
//! * No parent directories are made: what a call creates is one file, named in its record.
//! * Denied paths are compared by name when the policy decides and by inode when a path is walked,
//!   so that a file system that folds case or Unicode offers no second spelling.

mod error;
mod list;
mod read;
mod stat;
mod write;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use stockade_policy::{Bundle, WorkspacePath};

pub use error::FsError;

/// The tree the agent works in.
#[derive(Debug)]
pub struct Workspace {
    root: OwnedFd,
    deny: Vec<WorkspacePath>,
    file_size: u64,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link; never followed.
    Symlink,
    /// FIFO, socket, device.
    Other,
}

impl Kind {
    fn of(stat: &FileStat) -> Self {
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFDIR => Self::Directory,
            SFlag::S_IFLNK => Self::Symlink,
            _ => Self::Other,
        }
    }

    /// The word tools answer with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Other => "other",
        }
    }
}

/// A file's identity, whatever it is called.
type Identity = (u64, u64);

fn identity(stat: &FileStat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// A directory that has been walked to, and the name that is wanted in it.
struct Place<'a> {
    parent: Held<'a>,
    name: &'a str,
    denied: Vec<Identity>,
}

/// A directory descriptor, ours or the workspace's root.
enum Held<'a> {
    Root(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Held<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(fd) => fd.as_fd(),
            Self::Opened(fd) => fd.as_fd(),
        }
    }
}

impl Place<'_> {
    /// Opens the name with `flags`, and refuses what is denied by identity.
    fn open(&self, flags: OFlag) -> Result<(OwnedFd, FileStat), FsError> {
        let fd = beneath(&self.parent, self.name, flags, Mode::empty())?;
        let stat = fstat(&fd).map_err(FsError::of("fstat"))?;
        if self.denied.contains(&identity(&stat)) {
            return Err(FsError::Denied);
        }
        Ok((fd, stat))
    }

    /// Opens the name as a regular file with one link.
    fn open_file(&self, access: OFlag) -> Result<(OwnedFd, FileStat), FsError> {
        // O_NONBLOCK: a FIFO or a lease must not stop the mediator. O_NOCTTY: nor give it a terminal.
        let (fd, stat) = self.open(access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
        plain(&stat)?;
        Ok((fd, stat))
    }
}

/// A regular file with one name, or why not.
fn plain(stat: &FileStat) -> Result<(), FsError> {
    match Kind::of(stat) {
        Kind::File if stat.st_nlink > 1 => Err(FsError::HardLink(stat.st_nlink)),
        Kind::File => Ok(()),
        found => Err(FsError::Kind { found, wanted: Kind::File }),
    }
}

/// openat2(2), beneath `at`.
fn beneath(at: impl AsFd, name: &str, flags: OFlag, mode: Mode) -> Result<OwnedFd, FsError> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    // With O_DIRECTORY it would turn "a link is in the path" into "not a directory".
    let nofollow = if flags.contains(OFlag::O_DIRECTORY) { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let how = OpenHow::new().flags(flags | nofollow | OFlag::O_CLOEXEC).mode(mode).resolve(resolve);
    openat2(at, name, how).map_err(FsError::of("open"))
}

const WALK: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);

impl Workspace {
    /// The tree beneath `root`, a directory, with the bundle's denials and sizes.
    ///
    /// # Errors
    /// What is wrong with the bundle's denied paths.
    pub fn new(root: OwnedFd, bundle: &Bundle) -> Result<Self, String> {
        let deny = bundle.workspace_deny.iter().map(|text| {
            // The bundle says "" for the whole workspace, a call says ".".
            let text = if text.is_empty() { "." } else { text.as_str() };
            text.parse().map_err(|e| format!("denied path {text:?}: {e}"))
        });
        Ok(Self { root, deny: deny.collect::<Result<_, String>>()?, file_size: bundle.file_size })
    }

    /// Inodes that are denied, as they are now. Only needed where something is denied.
    fn denied(&self) -> Vec<Identity> {
        let find = |path: &WorkspacePath| {
            let name = if path.as_str().is_empty() { "." } else { path.as_str() };
            let fd = beneath(&self.root, name, OFlag::O_PATH, Mode::empty()).ok()?;
            fstat(fd).ok().as_ref().map(identity)
        };
        self.deny.iter().filter_map(find).collect()
    }

    /// Whether a name in a directory is denied, by name.
    fn is_denied_name(&self, path: &str) -> bool {
        let covers = |deny: &WorkspacePath| {
            let rest = path.strip_prefix(deny.as_str());
            deny.as_str().is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.deny.iter().any(covers)
    }

    /// Walks to the directory that holds the last name of `path`; `None` for the root itself.
    fn walk<'a>(&'a self, path: &'a WorkspacePath) -> Result<Option<Place<'a>>, FsError> {
        let text = path.as_str();
        if text.is_empty() {
            return Ok(None);
        }
        let (dirs, name) = text.rsplit_once('/').unwrap_or(("", text));
        let mut place = Place { parent: Held::Root(self.root.as_fd()), name, denied: Vec::new() };
        if self.deny.is_empty() {
            if !dirs.is_empty() {
                place.parent = Held::Opened(beneath(&self.root, dirs, WALK, Mode::empty())?);
            }
            return Ok(Some(place));
        }
        // Step by step: each directory is checked by what it is, not by what it is called.
        place.denied = self.denied();
        for part in dirs.split('/').filter(|part| !part.is_empty()) {
            let step = Place { parent: place.parent, name: part, denied: place.denied };
            let (fd, _) = step.open(WALK)?;
            place = Place { parent: Held::Opened(fd), name, denied: step.denied };
        }
        Ok(Some(place))
    }

    /// Walks to a file's place; the root is no file.
    fn file_place<'a>(&'a self, path: &'a WorkspacePath) -> Result<Place<'a>, FsError> {
        self.walk(path)?.ok_or(FsError::Kind { found: Kind::Directory, wanted: Kind::File })
    }
}

/// Reads until `buffer` is full or the file ends; gives the bytes read.
fn pread_all(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize, FsError> {
    let mut have = 0;
    while let Some(rest) = buffer.get_mut(have..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(have as u64).and_then(|at| i64::try_from(at).ok());
        let Some(at) = at else { return Ok(have) };
        match nix::sys::uio::pread(&fd, rest, at) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(Errno::EINTR) => {}
            Err(e) => return Err(FsError::of("read")(e)),
        }
    }
    Ok(have)
}
