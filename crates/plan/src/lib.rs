//! The launch contract.
//!
//! A [`Plan`] says everything the launcher does for one process set and nothing else. It is made by
//! `policy` and `supervisor`, travels as bytes ([`Plan::encode`]), and is named by the SHA-256 of those
//! bytes. [`Plan::check`] is the floor that no plan may go below, whoever made it.
//!
//! Descriptors do not travel in the bytes: a [`Slot`] is an index into the descriptors sent along.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
pub mod ceiling;
mod check;
mod codec;
pub mod filter;
mod net;
pub mod never;
pub mod report;
pub mod step;

use alloc::{string::String, vec::Vec};

pub use bytes::DecodeError;
pub use ceiling::{Ceiling, CeilingError, CeilingKey};
pub use check::{CheckError, MIN_HOST_ID};
pub use codec::MAX_PLAN;
pub use net::{Listener, MAX_LISTENERS, Transport};

/// Index into the descriptors sent along with the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u8);

/// What is launched. Decides which programs and descriptors the supervisor chooses; the launcher only
/// checks that a role with agent code in it has every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// `stockade-shim`.
    Shim = 1,
    /// `stockade-cell`.
    Wasm = 2,
    /// `stockade-init` and an agent's program.
    Native = 3,
    /// `stockade-compile`.
    Compile = 4,
    /// `stockade-egress`.
    Egress = 5,
}

/// Identities (user_namespaces(7)). Inside ids `0..count` are host ids `host..host + count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// First host uid and gid of the range.
    pub host: u32,
    /// Number of ids.
    pub count: u32,
    /// Uid inside, below `count`.
    pub uid: u32,
    /// Gid inside, below `count`.
    pub gid: u32,
}

/// Cgroup membership (cgroups(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    /// Directory of the v2 group, for `CLONE_INTO_CGROUP`.
    pub v2: Slot,
    /// `tasks` files of v1 groups, open for writing; empty where v2 has the controllers.
    pub v1: Vec<Slot>,
}

/// What the cgroup was given. The launcher holds it against the host's ceiling, and the cgroup against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupLimits {
    /// Bytes of memory of every kind.
    pub memory: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Thousandths of one CPU.
    pub cpu_millis: u32,
}

/// One entry of the fresh root, in order. Destinations are absolute inside the root, canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub dest: String,
    /// What.
    pub what: What,
}

/// What an [`Entry`] puts there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A directory on the root's tmpfs.
    Dir,
    /// A symbolic link on the root's tmpfs.
    Symlink {
        /// Its text.
        target: String,
    },
    /// A small read-only file on the root's tmpfs.
    File {
        /// Its bytes.
        content: Vec<u8>,
    },
    /// A tree of the host, by descriptor (open_tree(2)); never setuid, never devices unless `device`.
    Bind {
        /// `O_PATH` descriptor.
        source: Slot,
        /// Remount read-only.
        read_only: bool,
        /// Refuse execution.
        no_exec: bool,
        /// The source is one device node.
        device: bool,
        /// The source is not a directory.
        file: bool,
        /// Owner on disk that shall appear as the cell's user (mount_setattr(2), `MOUNT_ATTR_IDMAP`);
        /// submounts are then left out.
        idmap: Option<Owner>,
    },
    /// A bounded tmpfs, writable, no execution, no devices.
    Tmpfs {
        /// Size limit in bytes.
        size: u64,
        /// Limit of inodes.
        inodes: u64,
    },
    /// An empty read-only tmpfs over something that must not be seen.
    Mask,
    /// A fresh procfs with `subset=pid,hidepid=invisible` (proc(5)).
    Proc,
    /// The named place inside the root, mounted on itself, so that it cannot be renamed away.
    Pin,
}

/// Uid and gid as stored on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Uid on disk.
    pub uid: u32,
    /// Gid on disk.
    pub gid: u32,
}

/// A resource limit, soft and hard alike (getrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_*` number.
    pub resource: u8,
    /// Value.
    pub value: u64,
}

/// File rights beneath a path (landlock(7)), as sets that make sense together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Access {
    /// Read files, list directories.
    Read = 1,
    /// [`Access::Read`] and execute.
    ReadExecute = 2,
    /// Everything but making device nodes.
    ReadWriteExecute = 3,
    /// Everything but making device nodes and executing.
    ReadWrite = 4,
    /// Read and write one existing file that is no program, such as a device.
    File = 5,
    /// Read one existing file.
    ReadFile = 6,
    /// Read and execute one existing file.
    ReadExecuteFile = 7,
}

impl Access {
    /// Every access.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::ReadExecute,
        Self::ReadWriteExecute,
        Self::ReadWrite,
        Self::File,
        Self::ReadFile,
        Self::ReadExecuteFile,
    ];

    /// Whether execve(2) is among the rights.
    #[must_use]
    pub const fn executes(self) -> bool {
        matches!(self, Self::ReadExecute | Self::ReadWriteExecute | Self::ReadExecuteFile)
    }
}

/// One Landlock rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Path inside the fresh root.
    pub path: String,
    /// What is allowed beneath it.
    pub access: Access,
}

/// The Landlock layer. Everything the ABI knows is handled, nothing is allowed but the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landlock {
    /// ABI whose every right must be `FullyEnforced`.
    pub abi: u8,
    /// What is allowed.
    pub rules: Vec<Rule>,
    /// TCP ports that may be connected to, sorted; of no other layer's making is their host. Means nothing below ABI 4.
    pub connect: Vec<u16>,
}

/// The seccomp layer (seccomp(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seccomp {
    /// Sealed memfd: an array of `struct sock_filter`.
    pub filter: Slot,
    /// SHA-256 of the filter's bytes; the launcher checks it.
    pub digest: [u8; 32],
    /// Ask for a user-notification listener.
    pub listener: bool,
    /// What some syscalls get before the filter is asked ([`filter::prefix`]), sorted by number.
    pub additions: Vec<Addition>,
}

/// Most additions of one plan.
pub const MAX_ADDITIONS: usize = 64;

/// What one syscall gets, whatever its arguments and whatever the profile says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addition {
    /// Its number on x86-64.
    pub nr: u32,
    /// What it gets.
    pub action: AdditionAction,
}

/// What an [`Addition`] has a syscall get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum AdditionAction {
    /// It is made. Never for what [`never`] names.
    Allow = 1,
    /// It fails with `EPERM`.
    Deny = 2,
    /// The listener is asked.
    Notify = 3,
}

/// A descriptor the program starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Which.
    pub slot: Slot,
    /// Its number.
    pub target: u8,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Static executable, run by descriptor (execveat(2)).
    pub program: Slot,
    /// Argument vector.
    pub argv: Vec<String>,
    /// Environment, `KEY=VALUE`.
    pub env: Vec<String>,
    /// Working directory inside the root.
    pub cwd: String,
}

/// Everything the launcher does for one process set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is launched.
    pub role: Role,
    /// Name in the UTS namespace.
    pub hostname: String,
    /// Identities.
    pub ids: Ids,
    /// Cgroup membership.
    pub cgroups: Cgroups,
    /// What the cgroup was given; only programs of ours go without.
    pub limits: Option<CgroupLimits>,
    /// The fresh root.
    pub root: Vec<Entry>,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
    /// Landlock.
    pub landlock: Landlock,
    /// Seccomp.
    pub seccomp: Seccomp,
    /// What listens inside the network namespace. Where something does, `lo` is up and every IPv4 address is local.
    pub listeners: Vec<Listener>,
    /// Descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Program.
    pub exec: Exec,
}
