//! The folder an agent works in, resolved once.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::SFlag;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use stockade_plan::Owner;
use stockade_policy::Origin;

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

/// Places that are nobody's work, nor is anything beneath them.
const SYSTEM: [&str; 12] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"];
/// Places that have people's work beneath them but are not it.
const COMMON: [&str; 5] = ["/", "/home", "/root", "/tmp", "/var"];

impl Workspace {
    /// Opens the folder by the name the operator gave. `writes` is whether the policy has the agent write there,
    /// `own` are Stockade's folders: records and programs, which no agent may reach.
    pub(crate) fn open(path: &Path, writes: bool, own: &[&Path]) -> Result<Self, RunError> {
        let refuse = |why: String| RunError::Workspace(format!("workspace {}: {why}", path.display()));
        // Whoever owns a folder on the way could point a link anywhere: root follows none.
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let fd = openat2(AT_FDCWD, path, how).map_err(|errno| match errno {
            Errno::ENOENT => {
                refuse("it does not exist; create it, owned by the user whose files the agent may change".into())
            }
            Errno::ELOOP => {
                let real = fs::canonicalize(path).map(|real| format!(", perhaps {}", real.display()));
                refuse(format!(
                    "it is a symbolic link or goes through one; name the folder itself{}",
                    real.unwrap_or_default()
                ))
            }
            Errno::ENOTDIR => refuse("it is not a directory (or it is a symbolic link); name the folder itself".into()),
            errno => refuse(errno.desc().into()),
        })?;
        let dir = File::from(fd);
        // The name of what was opened, not of what has that name now.
        let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
        let name = fs::read_link(&link).doing("read", &link)?;
        let system = SYSTEM.iter().any(|s| name.starts_with(s)) || COMMON.iter().any(|c| Path::new(c) == name);
        if system {
            return Err(refuse("it is a folder of the system; make one for the agent".into()));
        }
        for folder in own {
            let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
            if name.starts_with(&folder) || folder.starts_with(&name) {
                return Err(refuse(format!(
                    "Stockade's own folder {} would be in the agent's reach; make another one for the agent",
                    folder.display()
                )));
            }
        }
        let system = fstatvfs(&dir).doing("examine", path)?;
        if writes && system.flags().contains(FsFlags::ST_RDONLY) {
            return Err(refuse("it is on a read-only file system, and the policy's fs.write names it; mount it for writing, or take it from fs.write".into()));
        }
        let meta = dir.metadata().doing("examine", path)?;
        Ok(Self { owner: Self::owner_of(&meta), dir, name })
    }

    /// The host's ceiling may say where workspaces lie.
    pub(crate) fn lies_in(&self, allowed: Option<&(Vec<String>, Origin)>) -> Result<(), RunError> {
        let Some((folders, origin)) = allowed else { return Ok(()) };
        if folders.iter().any(|folder| self.name.starts_with(folder)) {
            return Ok(());
        }
        let folders = if folders.is_empty() { "none".to_owned() } else { folders.join(", ") };
        Err(RunError::Workspace(format!(
            "workspace {}: the host's ceiling lets workspaces lie in {folders} ({origin}, fs.workspaces); use a folder there",
            self.name.display()
        )))
    }

    /// A policy that lies in it would be the agent's to rewrite for the next run.
    pub(crate) fn leaves_out(&self, policy: &Path) -> Result<(), RunError> {
        let real = fs::canonicalize(policy).doing("resolve", policy)?;
        if !real.starts_with(&self.name) {
            return Ok(());
        }
        Err(RunError::Policy(format!(
            "policy {} lies in the workspace, where agents work; keep it elsewhere, such as in /etc/stockade",
            real.display()
        )))
    }

    /// Its descriptor.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Another descriptor for it.
    pub(crate) fn share(&self) -> Result<OwnedFd, RunError> {
        self.dir.try_clone().map(OwnedFd::from).doing("share", &self.name)
    }

    /// Whether a file of this name has other names (hard links).
    pub(crate) fn has_other_names(&self, inside: &str) -> Result<bool, RunError> {
        let meta = nix::sys::stat::fstatat(&self.dir, inside, AtFlags::AT_SYMLINK_NOFOLLOW).doing("examine", inside)?;
        let is_file = SFlag::from_bits_truncate(meta.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        Ok(is_file && meta.st_nlink > 1)
    }

    /// Whether what has this name is a file; a link is none.
    pub(crate) fn is_file(&self, inside: &str) -> bool {
        let meta = nix::sys::stat::fstatat(&self.dir, inside, AtFlags::AT_SYMLINK_NOFOLLOW);
        meta.is_ok_and(|meta| SFlag::from_bits_truncate(meta.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
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
