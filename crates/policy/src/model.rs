//! The resolved policy: what the layers are told, every value final.

use crate::bundle::{Bundle, ListEntry};
use crate::host::{HostPattern, Method, UrlPath};
use crate::path::PathRule;
use crate::text::file::TestText;
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
    /// Calls of tools in any 60 seconds.
    pub rates: Vec<RateRule>,
    /// Calls of a tool under way at one time; `*` for all tools together.
    pub concurrent: Vec<ToolLimit>,
    /// Longest time of one call in milliseconds; `*` for each tool without an entry.
    pub tool_walls: Vec<ToolLimit>,
    /// Paths.
    pub fs: Fs,
    /// Folders of the host in which workspaces may lie and where the ceiling says so; `None` is any.
    pub workspaces: Option<(Vec<String>, Origin)>,
    /// The whole environment of the agent, sorted by name.
    pub env: Vec<(String, String)>,
    /// Names of variables that are passed on from the operator's environment, sorted; an absent one stays absent.
    pub env_pass: Vec<String>,
    /// Commands the `exec` tool may run.
    pub exec: Vec<ExecRule>,
    /// What is added to the seccomp profile of a native cell.
    pub syscalls: Vec<SyscallRule>,
    /// Places outside that may be reached.
    pub egress: Vec<EgressRule>,
    /// Unix sockets of the host that may be connected to.
    pub sockets: Vec<SocketRule>,
    /// MCP servers.
    pub mcp: Vec<McpRule>,
    /// The policies of the cells of MCP servers, by the server's name.
    pub(crate) server_policies: Vec<(String, Policy)>,
    /// The policies of commands that have cells of their own, by the entry's id.
    pub(crate) exec_policies: Vec<(String, Policy)>,
    /// Model endpoints.
    pub models: Vec<ModelRule>,
    /// Secrets by name.
    pub secrets: Vec<SecretRule>,
    /// How long a call waits for an approval, in milliseconds.
    pub approvals_expire_ms: u64,
    /// What the host's ceiling took away.
    pub narrowed: Vec<Narrowed>,
    /// Rules that can never matter, with the reason.
    pub unreachable: Vec<Unreachable>,
    /// Whether the file carries a seal, which then holds.
    pub sealed: bool,
    /// Presets that it names without a version, and where.
    pub unpinned: Vec<(String, Origin)>,
    /// What would keep a run from reading the file, found while it was only inspected.
    pub remarks: Vec<String>,
    /// Every effective value by key, with where it comes from, in the order of the language.
    pub settings: Vec<Setting>,
    /// The entries of `tools.deny`.
    pub(crate) denied: Vec<ListEntry>,
    /// Its own `[[test]]` entries.
    pub(crate) tests: Vec<TestText>,
    pub(crate) bundle: Bundle,
}

impl Policy {
    /// How many tests of its own it has.
    #[must_use]
    pub fn test_count(&self) -> usize {
        self.tests.len()
    }

    /// The policy of a command's cell: its own, or this one.
    #[must_use]
    pub fn of_exec(&self, id: &str) -> &Self {
        self.exec_policies.iter().find(|(known, _)| known == id).map_or(self, |(_, policy)| policy)
    }

    /// Whether an agent could be given any tool but the one that lists them.
    #[must_use]
    pub fn offers_tools(&self) -> bool {
        !self.bundle.listed.is_empty() || self.bundle.user_permits
    }

    /// The policy of an MCP server's cell, beneath the same ceiling.
    #[must_use]
    pub fn of_server(&self, name: &str) -> Option<&Self> {
        self.server_policies.iter().find(|(known, _)| known == name).map(|(_, policy)| policy)
    }

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

impl Limits {
    /// A limit by its key in `[limits]`, in its unit; `None` for an optional one that is absent.
    pub(crate) fn get(&self, key: &str) -> Option<u64> {
        Some(match key {
            "memory" => self.memory,
            "cpu" => self.cpu_millis.into(),
            "pids" => self.pids.into(),
            "wall" => self.wall_ms,
            "fuel" => self.fuel,
            "tables" => self.table_elements,
            "output" => self.output,
            "files" => self.files.into(),
            "file_size" => self.file_size,
            "calls" => self.calls,
            "journal" => self.journal,
            "io_read" => return self.io_read,
            "io_write" => return self.io_write,
            _ => return None,
        })
    }
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
    /// `fs.read[0]`, `preset:python@1/fs.read[2]`.
    pub id: String,
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

/// Calls of a tool in any 60 seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRule {
    /// A tool's name, or `*` for all together.
    pub tool: String,
    /// How many.
    pub calls: u64,
    /// Where it is written.
    pub origin: Origin,
}

/// A number for a tool: calls under way at one time, or the longest time of one in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolLimit {
    /// A tool's name, or `*`.
    pub tool: String,
    /// The most.
    pub most: u64,
    /// Where it is written.
    pub origin: Origin,
}

/// Sets of hosts.
pub type HostPatterns = Vec<HostPattern>;

/// A place outside that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// Names it in records.
    pub id: String,
    /// Which hosts.
    pub host: HostPattern,
    /// What is spoken.
    pub scheme: Scheme,
    /// On which ports.
    pub ports: Vec<u16>,
    /// HTTP methods; `None` is any, and any of TCP.
    pub methods: Option<Vec<Method>>,
    /// Prefixes of URL paths; empty is any.
    pub paths: Vec<UrlPath>,
    /// Networks that the host may resolve to, besides the Internet's addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: HostPatterns,
    /// The secret that goes along.
    pub credential: Option<String>,
    /// The author's reason.
    pub reason: Option<String>,
    /// Where it is written.
    pub origin: Origin,
}

impl EgressRule {
    /// Whether a tunnel hides nothing that this entry decides on or does.
    #[must_use]
    pub fn sees_nothing(&self) -> bool {
        self.methods.is_none() && self.paths.is_empty() && self.credential.is_none()
    }

    /// The networks that its host may lead to besides the Internet's addresses: those it names, and the host itself
    /// where that is an address or a network.
    #[must_use]
    pub fn networks(&self) -> HostPatterns {
        let own = matches!(self.host.host(), Some(host) if host.ip().is_some()) || self.host.is_network();
        self.addresses.iter().chain(own.then_some(&self.host)).cloned().collect()
    }
}

/// An MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpRule {
    /// Its tools are `mcp.NAME.TOOL`.
    pub name: String,
    /// The absolute program and its arguments.
    pub command: Vec<String>,
    /// The preset or the file of the policy under which it runs.
    pub policy: String,
    /// That policy's digest.
    pub policy_digest: String,
    /// Tools of the approved `tools/list`, with the SHA-256 of each one's description and schemas, sorted.
    pub pins: Vec<(String, String)>,
    /// Where it is written.
    pub origin: Origin,
}

/// A model endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRule {
    /// Its name in calls.
    pub name: String,
    /// Base URL.
    pub url: String,
    /// Models that may be asked for; `*` is any.
    pub models: Vec<String>,
    /// The secret that goes along.
    pub credential: Option<String>,
    /// Tokens in one run.
    pub tokens: u64,
    /// Where it is written.
    pub origin: Origin,
}

/// A secret by name; never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// What `credential` names.
    pub name: String,
    /// `file:PATH`, `systemd:NAME` or `command:PATH`.
    pub from: String,
    /// Hosts it may be sent to.
    pub hosts: Vec<HostPattern>,
    /// Prefixes of URL paths it may be sent to; empty is any.
    pub paths: Vec<UrlPath>,
    /// The header it is put into.
    pub header: String,
    /// Where it is written.
    pub origin: Origin,
}

/// A Unix socket of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketRule {
    /// Its absolute path name.
    pub path: String,
    /// Where it is written.
    pub origin: Origin,
}

/// Something the host's ceiling took from what the policy asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Narrowed {
    /// The policy's key or rule: `limits.memory`, `fs.read[2]`, `egress.gh-read`.
    pub key: String,
    /// What it asked for.
    pub asked: String,
    /// What is left of it; empty for nothing.
    pub left: String,
    /// Where it asked.
    pub origin: Origin,
    /// Where the ceiling says otherwise.
    pub ceiling: Origin,
}

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// `limits.memory`, `fs.read[0]`, `preset:base@1/tools.allow[2]`.
    pub key: String,
    /// As TOML.
    pub value: String,
    /// Where it is written.
    pub origin: Origin,
}

/// A place that the host's ceiling lets policies reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeilingEgress {
    /// Which hosts.
    pub host: HostPattern,
    /// On which ports; empty is any.
    pub ports: Vec<u16>,
    /// HTTP methods; `None` is any.
    pub methods: Option<Vec<Method>>,
    /// Where it is written.
    pub origin: Origin,
}

/// A rule that can never matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// `fs.read[2]`, `exec.git`.
    pub key: String,
    /// Why not.
    pub why: String,
    /// Where it is written.
    pub origin: Origin,
}

/// What is spoken with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// HTTP.
    Http,
    /// Bytes.
    Tcp,
}

impl Scheme {
    /// The word in policies and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }

    /// The port that is meant if none is named.
    #[must_use]
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Https => Some(443),
            Self::Http => Some(80),
            Self::Tcp => None,
        }
    }
}
