//! The resolved policy: what the layers are told, every value final.

use crate::bundle::Bundle;
use crate::path::PathRule;
use serde::{Deserialize, Serialize};

/// Where a rule is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The policy file as it was named, a Cedar file's name, or `preset:NAME`.
    pub file: String,
    /// From 1.
    pub line: u32,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.escape_debug(), self.line)
    }
}

/// A policy that was read, resolved, validated, and has passed its own tests.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The author's name for it.
    pub id: String,
    /// SHA-256 of the canonical resolved form, hex. Comments, order of keys and file names do not count.
    pub digest: String,
    /// What the host must enforce.
    pub require: Require,
    /// Ceilings of one run.
    pub limits: Limits,
    /// Paths.
    pub fs: Fs,
    /// The whole environment of the agent, sorted by name.
    pub env: Vec<(String, String)>,
    /// Names of variables that are passed on from the operator's environment, sorted; an absent one stays absent.
    pub env_pass: Vec<String>,
    /// Commands the `exec` tool may run.
    pub exec: Vec<ExecRule>,
    /// What is added to the seccomp profile of a native cell.
    pub syscalls: Vec<SyscallRule>,
    /// How many `[[test]]` entries were run, and passed, when the policy was loaded.
    pub tests: usize,
    pub(crate) bundle: Bundle,
}

impl Policy {
    /// What the shim needs to decide, and nothing else of the policy.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        // The number stands in `limits`, where everybody reads it.
        Bundle { journal: self.limits.journal, ..self.bundle.clone() }
    }
}

/// What the host must enforce.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Require {
    /// Layers that may be missing on an old kernel; each is one of [`LAYERS`].
    pub degrade_ok: Vec<String>,
}

/// Layers a policy can name in `require.degrade_ok`, with the Landlock ABI that brings each
/// (landlock(7)).
pub const LAYERS: [(&str, u32); 4] =
    [("landlock.truncate", 3), ("landlock.net", 4), ("landlock.ioctl_dev", 5), ("landlock.scope", 6)];

/// Ceilings of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory of every kind, for all processes of the cell together (cgroup).
    pub memory: u64,
    /// Thousandths of one CPU (cgroup).
    pub cpu_millis: u32,
    /// Tasks: processes and threads (cgroup).
    pub pids: u32,
    /// Wall-clock time of the run in milliseconds.
    pub wall_ms: u64,
    /// Fuel of a Wasm agent, in wasmtime's units.
    pub fuel: u64,
    /// Elements of all tables of a Wasm agent together.
    pub table_elements: u64,
    /// Bytes of stdout, stderr and log that are kept; what is more is counted and dropped.
    pub output: u64,
    /// Open descriptors of one process (`RLIMIT_NOFILE`).
    pub files: u32,
    /// Bytes of the largest file that can be written (`RLIMIT_FSIZE`, `workspace.write`).
    pub file_size: u64,
    /// Tool calls in one run.
    pub calls: u64,
    /// Bytes of the run's journal, blobs included. A run that would write more ends.
    pub journal: u64,
    /// Bytes per second read from the workspace's block device (cgroup v2 `io.max`), if there is a ceiling.
    pub io_read: Option<u64>,
    /// Bytes per second written to it.
    pub io_write: Option<u64>,
}

/// Paths the agent may use. `deny` has already been taken out of `read` and `write` where it covers
/// a whole rule; what is left of it lies beneath the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fs {
    /// Readable beneath.
    pub read: Vec<FsRule>,
    /// Executable beneath, by execve(2); each lies in `read` or `write`.
    pub execute: Vec<FsRule>,
    /// Writable (and readable) beneath; workspace paths only.
    pub write: Vec<FsRule>,
    /// Neither, whatever the others say; workspace paths only.
    pub deny: Vec<FsRule>,
}

/// One path and where it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsRule {
    /// The tree.
    pub path: PathRule,
    /// Where it is written.
    pub origin: Origin,
}

/// A command the `exec` tool may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRule {
    /// Names it in records and in requests to the supervisor.
    pub id: String,
    /// The absolute program, then the arguments every call must begin with.
    pub command: Vec<String>,
    /// Longest run in milliseconds.
    pub wall_ms: u64,
    /// Where it is written.
    pub origin: Origin,
}

impl ExecRule {
    /// Whether `argv` is a call of this command: same program, by its absolute name, and the same
    /// leading arguments.
    #[must_use]
    pub fn matches(&self, argv: &[String]) -> bool {
        argv.starts_with(&self.command)
    }
}

/// Syscalls that a policy adds to a profile or takes from it, by number alone (seccomp(2)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyscallRule {
    /// Numbers on this architecture, sorted, with their names.
    pub calls: Vec<(u32, String)>,
    /// What they get.
    pub action: SyscallAction,
    /// The author's reason; nobody may leave it out.
    pub why: String,
    /// Where it is written.
    pub origin: Origin,
}

/// What a policy can have a syscall get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyscallAction {
    /// It is made. Only for calls of which the profile says nothing.
    Allow,
    /// It fails with `EPERM`, without a record.
    Deny,
    /// The shim refuses it and writes a record.
    Notify,
}
