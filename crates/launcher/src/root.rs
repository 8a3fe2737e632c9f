//! The fresh root: a tmpfs that holds what the plan lists and nothing else.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::symlinkat;
use stockade_plan::step::Step;
use stockade_plan::{Entry, What};

use crate::error::{At, StepError};
use crate::sys::{self, MountAttr};

/// A file that exists in every root and that no Landlock rule allows: before the restriction it opens,
/// after it must not.
pub const CANARY: &str = "/.stockade-canary";
/// What hides a denied file: it cannot be opened by anyone without capabilities.
const MASK: &str = ".stockade-mask";

const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
const RDONLY: u64 = 0x1;

/// The root's mount, not yet attached, with what every root has.
pub fn create() -> Result<OwnedFd, Errno> {
    let options = [(c"size", c"1m"), (c"nr_inodes", c"4096"), (c"mode", c"0755")];
    let root = tmpfs(&options.map(|(k, v)| (k, v.to_owned())), NOSUID | NODEV | NOEXEC)?;
    let canary = CANARY.trim_start_matches('/');
    for (name, mode) in [(canary, Mode::from_bits_truncate(0o444)), (MASK, Mode::empty())] {
        openat(&root, name, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC, mode)?;
    }
    Ok(root)
}

fn tmpfs(options: &[(&CStr, CString)], attributes: u64) -> Result<OwnedFd, Errno> {
    sys::new_mount(c"tmpfs", options, attributes)
}

/// Puts every entry of the plan beneath `root`. `trees` are the detached mounts of its `Bind`s, in order.
pub fn fill(root: &OwnedFd, entries: &[Entry], trees: Vec<OwnedFd>) -> Result<(), StepError> {
    let mut trees = trees.into_iter();
    for (index, entry) in entries.iter().enumerate() {
        put(root, entry, &mut trees).at_index(Step::Entry, index)?;
    }
    Ok(())
}

fn put(root: &OwnedFd, entry: &Entry, trees: &mut impl Iterator<Item = OwnedFd>) -> Result<(), Errno> {
    let dest = entry.dest.trim_start_matches('/');
    match &entry.what {
        What::Dir => directory(root, dest).map(drop),
        What::Symlink { target } => {
            let (parent, name) = parent(root, dest)?;
            symlinkat(target.as_str(), &parent, name)
        }
        What::File { content } => {
            let file = create_file(root, dest)?;
            let written = std::fs::File::from(file).write_all(content);
            written.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))
        }
        What::Bind { file, .. } => {
            let tree = trees.next().ok_or(Errno::EBADF)?;
            let target = if *file { create_file(root, dest) } else { directory(root, dest) }?;
            sys::attach(tree.as_fd(), target.as_fd())
        }
        What::Tmpfs { size, inodes } => {
            let text = |v: u64| CString::new(v.to_string()).map_err(|_| Errno::EINVAL);
            let options = [(c"size", text(*size)?), (c"nr_inodes", text(*inodes)?), (c"mode", c"1777".to_owned())];
            let mount = tmpfs(&options, NOSUID | NODEV | NOEXEC)?;
            sys::attach(mount.as_fd(), directory(root, dest)?.as_fd())
        }
        What::Proc => {
            let options = [(c"subset", c"pid".to_owned()), (c"hidepid", c"invisible".to_owned())];
            let mount = sys::new_mount(c"proc", &options, NOSUID | NODEV | NOEXEC)?;
            sys::attach(mount.as_fd(), directory(root, dest)?.as_fd())
        }
        What::Mask => mask(root, dest),
        What::Pin => {
            let place = existing(root, dest)?;
            let pin = sys::clone_tree(place.as_fd(), false)?;
            sys::attach(pin.as_fd(), place.as_fd())
        }
    }
}

/// Covers what is there. What is not there cannot be covered, so that is an error.
fn mask(root: &OwnedFd, dest: &str) -> Result<(), Errno> {
    let place = existing(root, dest)?;
    let is_directory = SFlag::from_bits_truncate(fstat(&place)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
    let cover = if is_directory {
        let options = [(c"size", c"4k"), (c"nr_inodes", c"1"), (c"mode", c"0555")];
        tmpfs(&options.map(|(k, v)| (k, v.to_owned())), NOSUID | NODEV | NOEXEC | RDONLY)?
    } else {
        let cover = sys::clone_tree(existing(root, MASK)?.as_fd(), false)?;
        let attr = MountAttr { set: RDONLY | NOSUID | NODEV | NOEXEC, ..MountAttr::default() };
        sys::mount_setattr(cover.as_fd(), false, attr)?;
        cover
    };
    sys::attach(cover.as_fd(), place.as_fd())
}

/// Opens what exists beneath `at`, through no symbolic link: parts of the root come from a workspace.
fn existing(at: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    openat2(at, path, OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve))
}

/// A place that a Landlock rule speaks of, now that `/` is the fresh root. A link of the workspace's would have the
/// rule speak of another.
pub fn rule_path(path: &str) -> Result<OwnedFd, Errno> {
    let root = nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    existing(&root, path.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or("."))
}

/// The directory `path`, made with its parents where it is missing.
fn directory(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let mut at = existing(root, ".")?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match mkdirat(&at, part, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            // A read-only tree answers so for what exists; opening tells.
            Err(Errno::EROFS | Errno::EACCES | Errno::EPERM) => {}
            Err(error) => return Err(error),
        }
        at = existing(&at, part)?;
    }
    Ok(at)
}

fn parent<'a>(root: &OwnedFd, path: &'a str) -> Result<(OwnedFd, &'a str), Errno> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    Ok((directory(root, parent)?, name))
}

fn create_file(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let (parent, name) = parent(root, path)?;
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(&parent, name, flags, Mode::from_bits_truncate(0o444))
}

/// Makes the root's own mount read-only; what is mounted beneath keeps its own attributes.
pub fn seal(root: &OwnedFd) -> Result<(), Errno> {
    sys::mount_setattr(root.as_fd(), false, MountAttr { set: RDONLY, ..MountAttr::default() })
}

/// Attaches `root` over a directory that every host has, so that it can be pivoted to.
pub fn attach(root: &OwnedFd) -> Result<(), Errno> {
    let place = nix::fcntl::open("/proc", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    sys::attach(root.as_fd(), place.as_fd())
}

/// Whether the canary opens.
pub fn open_canary() -> Result<(), Errno> {
    nix::fcntl::open(CANARY, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(drop)
}
