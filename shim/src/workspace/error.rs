//! Why a workspace tool failed, as the agent is told.

use std::fmt;

use nix::errno::Errno;
use stockade_wire::frame::Status;

use crate::answer::Answer;
use crate::workspace::Kind;

/// Why a workspace tool failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FsError {
    /// A system call failed.
    Os {
        /// What was tried.
        op: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// The path leads to something else.
    Kind {
        /// What is there.
        found: Kind,
        /// What the tool works on.
        wanted: Kind,
    },
    /// A regular file with this many names.
    HardLink(u64),
    /// A denied file or directory under another name.
    Denied,
    /// The file would have `wanted` bytes; `allowed` are.
    TooLarge {
        /// Bytes it would have.
        wanted: u64,
        /// The policy's `file_size`.
        allowed: u64,
    },
    /// Part of the content was written, then the disk said no.
    Partial {
        /// Bytes that are in the file.
        written: u64,
        /// What the kernel said.
        errno: Errno,
    },
}

impl FsError {
    pub(super) fn of(op: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::Os { op, errno }
    }

    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Os { errno, .. } | Self::Partial { errno, .. } => os_code(*errno),
            Self::Kind { found: Kind::Symlink, .. } => "symlink",
            Self::Kind { wanted: Kind::Directory, .. } => "not_a_directory",
            Self::Kind { .. } => "not_a_file",
            Self::HardLink(_) => "hard_link",
            Self::Denied => "denied",
            Self::TooLarge { .. } => "file_size",
        }
    }

    /// What the agent is told.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let status = match self {
            Self::Denied => Status::Denied,
            Self::TooLarge { .. } => Status::Limit,
            _ => Status::Failed,
        };
        Answer::error(status, self.code(), &self.to_string())
    }
}

fn os_code(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "not_found",
        Errno::EEXIST => "exists",
        Errno::ENOTDIR => "not_a_directory",
        Errno::EISDIR | Errno::ENXIO => "not_a_file",
        Errno::ELOOP => "symlink",
        Errno::EXDEV => "mount",
        Errno::EACCES | Errno::EPERM => "permission",
        Errno::EROFS => "read_only",
        Errno::ENOSPC | Errno::EDQUOT => "no_space",
        Errno::EFBIG => "file_size",
        Errno::EAGAIN | Errno::EBUSY | Errno::ETXTBSY => "busy",
        Errno::ENAMETOOLONG => "name_too_long",
        _ => "io",
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os { errno: Errno::ELOOP, .. } => {
                write!(f, "a symbolic link is in the path; links are not followed")
            }
            Self::Os { errno: Errno::EXDEV, .. } => write!(f, "the path leaves the workspace's file system"),
            Self::Os { errno: Errno::ENXIO, .. } => write!(f, "not a file"),
            Self::Os { op, errno } => write!(f, "{op}: {}", errno.desc()),
            Self::Kind { found, wanted } => write!(f, "a {} is there, not a {}", found.name(), wanted.name()),
            Self::HardLink(n) => {
                write!(f, "the file has {n} hard links; files with other names are not opened: use a copy")
            }
            Self::Denied => write!(f, "the path is another name of a denied one"),
            Self::TooLarge { wanted, allowed } => {
                write!(f, "the file would have {wanted} bytes; the policy allows {allowed}")
            }
            Self::Partial { written, errno } => write!(f, "only {written} bytes were written: {}", errno.desc()),
        }
    }
}

impl std::error::Error for FsError {}
