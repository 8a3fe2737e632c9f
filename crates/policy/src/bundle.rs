//! The compiled policy as the shim gets it: the code of Cedar policies, what each of them is called in
//! the policy's text, and the few numbers the shim itself enforces.
//!
//! A bundle is made of nothing but what passed strict validation, and is named by the hash of its bytes: whoever
//! is given the bytes and the name needs no parser and no schema to know that they are what was validated.

use crate::code::Code;
use crate::digest;
use crate::model::{CeilingEgress, EgressRule, ExecRule, Origin, ToolLimit};
use serde::{Deserialize, Serialize};

/// Version of the encoding; a shim refuses any other.
pub const VERSION: u32 = 4;
/// Lowest `limits.journal`: a first record, the last ones, and what is kept free for them.
pub const MIN_JOURNAL: u64 = 512 * 1024;
/// Largest encoded bundle in bytes.
pub const MAX_BUNDLE: usize = 8 * 1024 * 1024;

/// Most MCP servers of one policy.
pub const MAX_SERVERS: usize = 16;

/// What a shim needs to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`VERSION`].
    pub version: u32,
    /// The policy's id.
    pub policy: String,
    /// The policy file as it was named.
    pub file: String,
    /// SHA-256 of the resolved policy, hex.
    pub digest: String,
    /// Tool calls in one run.
    pub calls: u64,
    /// Calls of a tool under way at one time; `*` for all tools together.
    pub concurrent: Vec<ToolLimit>,
    /// Longest time of one call in milliseconds; `*` for each tool without an entry.
    pub tool_walls: Vec<ToolLimit>,
    /// Bytes of log and output that are kept.
    pub output: u64,
    /// Bytes of the largest file `workspace.write` may make.
    pub file_size: u64,
    /// Bytes of the run's journal, blobs included; `u64::MAX` for no limit.
    pub journal: u64,
    /// Tools whose arguments and answers are recorded as private: names, `*`, `mcp.SERVER.*`.
    pub private: Vec<String>,
    /// Milliseconds after a run's end when its payloads may go.
    pub compact_ms: Option<u64>,
    /// Milliseconds after a run's end when all of its records may go.
    pub keep_ms: Option<u64>,
    /// Commands `exec` may run.
    pub exec: Vec<ExecRule>,
    /// Places outside that may be reached.
    pub egress: Vec<EgressRule>,
    /// Places outside that the host's ceiling lets policies reach, if it says.
    pub ceiling_egress: Option<Vec<CeilingEgress>>,
    /// MCP servers with their approved `tools/list`, as JSON text.
    pub mcp: Vec<(String, String)>,
    /// Models that may be asked for, by endpoint; `*` is any.
    pub models: Vec<(String, Vec<String>)>,
    /// Directories and files of the workspace nobody may touch, relative to its root. The decision
    /// covers them by name; the shim must not reach them through a symbolic link either.
    pub workspace_deny: Vec<String>,
    /// The entries of `tools.allow` and `tools.ask`.
    pub listed: Vec<ListEntry>,
    /// Whether one of the author's own Cedar policies allows anything.
    pub user_permits: bool,
    /// Every Cedar policy that decides.
    pub rules: Vec<Rule>,
}

/// One entry of `tools.allow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListEntry {
    /// `tools.allow[0]`.
    pub id: String,
    /// A tool's name, or `*`.
    pub tool: String,
    /// Where it is written.
    pub origin: Origin,
}

/// One Cedar policy and what to say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its Cedar policy id and its name in records: `tools.allow[0]`, `exec.git`, an `@id`.
    pub id: String,
    /// What it stands for.
    pub kind: RuleKind,
    /// The Cedar policy, parsed and validated.
    pub code: Code,
    /// Where it is written; a gate that stands for something absent has none.
    pub origin: Option<Origin>,
    /// The author's reason.
    pub reason: Option<String>,
    /// Whether the agent may see the id: it holds no file name.
    pub public: bool,
    /// Whether it stands in a Cedar file of the author's.
    pub author: bool,
}

/// What a rule stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Something the author wrote that allows.
    Allow,
    /// Something the author wrote that denies.
    Deny,
    /// Denies because `fs.read` or `fs.write` does not cover the path.
    NoPath,
    /// Denies because no `[[exec]]` matches.
    NoCommand,
    /// Denies because `tools.allow` does not list the tool.
    NotListed,
    /// Denies until a person approves.
    Ask,
    /// Denies because there were too many calls in the last 60 seconds.
    Rate,
    /// Denies because no `[[egress]]` matches.
    NoHost,
    /// Denies because the host's ceiling does.
    Ceiling,
}

/// Why bytes are not a bundle.
#[derive(Debug)]
pub enum BundleError {
    /// Over [`MAX_BUNDLE`]; holds the size.
    Size(usize),
    /// Not this encoding.
    Encoding(serde_json::Error),
    /// Another version.
    Version(u32),
}

impl std::fmt::Display for BundleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Size(n) => write!(f, "policy bundle of {n} bytes, over the limit of {MAX_BUNDLE}"),
            Self::Encoding(e) => write!(f, "policy bundle: {e}"),
            Self::Version(v) => write!(f, "policy bundle of version {v}; this program reads version {VERSION}"),
        }
    }
}

impl std::error::Error for BundleError {}

impl From<&Bundle> for Bundle {
    fn from(bundle: &Bundle) -> Self {
        bundle.clone()
    }
}

impl Bundle {
    /// Whether the arguments and answers of a tool are recorded as private.
    #[must_use]
    pub fn is_private(&self, tool: &str) -> bool {
        self.private.iter().any(|listed| match listed.strip_suffix('*') {
            Some(start) => tool.starts_with(start),
            None => tool == listed,
        })
    }

    /// The longest that one call of a tool may take, in milliseconds, if there is a limit.
    #[must_use]
    pub fn tool_wall(&self, tool: &str) -> Option<u64> {
        let of = |name: &str| self.tool_walls.iter().find(|limit| limit.tool == name);
        of(tool).or_else(|| of("*")).map(|limit| limit.most)
    }

    /// The limit that one more call of a tool would pass, while `under_way` of it and `all` of all tools are.
    #[must_use]
    pub fn over_concurrent(&self, tool: &str, under_way: u64, all: u64) -> Option<&ToolLimit> {
        let passed = |limit: &&ToolLimit| {
            (limit.tool == tool && under_way >= limit.most) || (limit.tool == "*" && all >= limit.most)
        };
        self.concurrent.iter().find(passed)
    }

    /// JSON, one object.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Strings, numbers and lists of them: serialising cannot fail, and an empty bundle is refused.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The name of a bundle: SHA-256 of its bytes, hex.
    #[must_use]
    pub fn name(bytes: &[u8]) -> String {
        digest::hex(bytes)
    }

    /// Reads what [`Bundle::encode`] wrote.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE {
            return Err(BundleError::Size(bytes.len()));
        }
        let bundle: Self = serde_json::from_slice(bytes).map_err(BundleError::Encoding)?;
        if bundle.version == VERSION { Ok(bundle) } else { Err(BundleError::Version(bundle.version)) }
    }
}
