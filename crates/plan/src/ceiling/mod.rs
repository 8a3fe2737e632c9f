//! The ceiling: what the host's owner allows any plan to ask, whoever made it.
//!
//! The owner writes `/etc/stockade/ceiling.toml`; it is compiled to the bytes of a [`Ceiling`], which the launcher
//! reads itself and holds against every plan and against what the kernel says of the plan's descriptors.

mod codec;
mod judge;
mod kernel;

use alloc::{string::String, vec::Vec};
use core::fmt;

pub use codec::MAX_CEILING;

/// Folder of the ceiling. It and what is in it is root's, and writable by root alone.
pub const FOLDER: &str = "/etc/stockade";
/// The compiled ceiling, in [`FOLDER`].
pub const COMPILED: &str = "ceiling.bin";
/// What it is compiled from, in [`FOLDER`].
pub const SOURCE: &str = "ceiling.toml";
/// Stands for the workspace in [`Ceiling::execute`].
pub const WORKSPACE: &str = "@workspace";

/// What plans may ask at most. `None` is no ceiling of that kind; an empty list allows nothing.
///
/// Programs of ours (roles `Shim`, `Compile` and `Egress`) have limits of their own: of them the ceiling asks only that they
/// are what is installed beside the launcher, and holds their mounts, filters and Landlock against the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling {
    /// SHA-256 of the text that this was compiled from.
    pub source_digest: [u8; 32],
    /// Bytes of memory (`limits.memory`).
    pub memory: u64,
    /// Processes and threads (`limits.pids`).
    pub pids: u32,
    /// Thousandths of one CPU (`limits.cpu`).
    pub cpu_millis: u32,
    /// Open descriptors of one process (`limits.files`).
    pub files: u32,
    /// Bytes of the largest file (`limits.file_size`).
    pub file_size: Option<u64>,
    /// Host trees that may be shown to a cell (`fs.read`).
    pub read: Option<Vec<String>>,
    /// Host folders that may be workspaces, or hold them.
    pub write_workspaces: Option<Vec<String>>,
    /// Host trees beneath which a cell may execute (`fs.execute`); [`WORKSPACE`] for its workspace.
    pub execute: Option<Vec<String>>,
    /// Syscalls that may be added as allowed, by number, sorted.
    pub syscalls: Option<Vec<u32>>,
    /// SHA-256 of the seccomp profiles that may be loaded.
    pub filters: Option<Vec<[u8; 32]>>,
    /// Landlock ABI that a plan must at least have enforced.
    pub landlock_abi: u8,
}

macro_rules! keys {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// What a plan is over the ceiling with. Numbers and names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum CeilingKey { $(#[doc = $name] $variant = $number,)* }

        impl CeilingKey {
            /// Every key.
            pub const ALL: &'static [CeilingKey] = &[$(CeilingKey::$variant,)*];

            /// The name that the ceiling's text and the operator know it by.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(CeilingKey::$variant => $name,)* }
            }
        }
    };
}

keys! {
    File = 1, "the ceiling's own file";
    Program = 2, "program";
    Memory = 3, "limits.memory";
    Pids = 4, "limits.pids";
    Cpu = 5, "limits.cpu";
    Files = 6, "limits.files";
    FileSize = 7, "limits.file_size";
    Read = 8, "fs.read";
    Workspaces = 9, "workspaces";
    Execute = 10, "fs.execute";
    Syscalls = 11, "syscalls";
    Filters = 12, "seccomp profiles";
    Landlock = 13, "landlock";
}

impl CeilingKey {
    /// The key with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| u32::from(*key as u8) == number)
    }
}

impl fmt::Display for CeilingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A plan asks for more than the ceiling allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeilingError {
    /// With what.
    pub key: CeilingKey,
    /// What it asks, or what the kernel says it would get.
    pub asked: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for CeilingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: asked is {}, this host's ceiling allows {}", self.key, self.asked, self.allowed)
    }
}

impl core::error::Error for CeilingError {}
