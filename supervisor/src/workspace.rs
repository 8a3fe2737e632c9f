//! The folder an agent works in, resolved once.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use stockade_plan::Owner;

use crate::error::{Doing, RunError};

/// An open workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    dir: File,
    /// Whose files are in it; the agent acts as this user there.
    pub owner: Owner,
    /// Canonical name, for records.
    pub name: PathBuf,
}

/// Places that are not somebody's work.
const SYSTEM: [&str; 15] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var",
    "/home",
];

impl Workspace {
    /// Opens the folder by the name the operator gave. `writes` is whether the policy has the agent write there,
    /// `state` where journals and compiled components are, which no agent may reach.
    pub(crate) fn open(path: &Path, writes: bool, state: &Path) -> Result<Self, RunError> {
        let refuse = |why: String| RunError::Workspace(format!("workspace {}: {why}", path.display()));
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let fd = openat2(AT_FDCWD, path, how).map_err(|errno| match errno {
            Errno::ENOENT => {
                refuse("it does not exist; create it, owned by the user whose files the agent may change".into())
            }
            Errno::ELOOP => refuse("it is a symbolic link; name the folder itself".into()),
            Errno::ENOTDIR => refuse("it is not a directory (or it is a symbolic link); name the folder itself".into()),
            errno => refuse(errno.desc().into()),
        })?;
        let dir = File::from(fd);
        let name = fs::canonicalize(path).doing("resolve", path)?;
        if SYSTEM.iter().any(|s| Path::new(s) == name) || ["/proc", "/sys", "/dev"].iter().any(|s| name.starts_with(s))
        {
            return Err(refuse("it is a folder of the system; make one for the agent".into()));
        }
        let state = fs::canonicalize(state).doing("resolve", state)?;
        if name.starts_with(&state) || state.starts_with(&name) {
            return Err(refuse(format!(
                "Stockade's own folder {} would be in the agent's reach; make another one for the agent",
                state.display()
            )));
        }
        let system = fstatvfs(&dir).doing("examine", path)?;
        if writes && system.flags().contains(FsFlags::ST_RDONLY) {
            return Err(refuse("it is on a read-only file system, and the policy's fs.write names it; mount it for writing, or take it from fs.write".into()));
        }
        let meta = dir.metadata().doing("examine", path)?;
        Ok(Self { owner: Self::owner_of(&meta), dir, name })
    }

    /// Another descriptor for it.
    pub(crate) fn share(&self) -> Result<OwnedFd, RunError> {
        self.dir.try_clone().map(OwnedFd::from).doing("share", &self.name)
    }

    /// Whether something of this name is in it, reached through no link.
    pub(crate) fn has(&self, inside: &str) -> Result<bool, RunError> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
        match openat2(&self.dir, inside, how) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(RunError::Workspace(format!("{}/{inside}: {}", self.name.display(), errno.desc()))),
        }
    }
}
