//! What a journal line says.
//!
//! A line is one JSON object: `{"seq":N,"time":"…Z","prev":"<hex>","type":…, …}`. The bytes of the line
//! (without its newline) are what is hashed, so that `jq` and any log shipper read the evidence itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: u64,
    /// UTC, RFC 3339 with microseconds.
    pub time: String,
    /// Leaf hash of the previous line (RFC 6962, section 2.1: SHA-256 of a zero byte and the line), hex; 64 zeros for
    /// the first.
    pub prev: String,
    /// What happened.
    #[serde(flatten)]
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// First record: what was launched and what the kernel says of it.
    Start(Box<Start>),
    /// Intent: written before the effect.
    Call(Call),
    /// Outcome: written after the effect.
    Result(Outcome),
    /// A syscall that came as a user notification.
    Syscall(Syscall),
    /// A call that waits for a person's approval, and what became of that.
    Approval(Box<Approval>),
    /// A line the agent logged.
    Log {
        /// `debug`, `info`, `warn`, `error`.
        level: String,
        /// Bounded text.
        message: String,
        /// Bytes cut from the message.
        #[serde(default, skip_serializing_if = "is_zero")]
        dropped: u64,
    },
    /// Birth and end of process sets.
    Lifecycle {
        /// `tool_started`, `tool_refused`, `tool_exited`, `agent_exit`, `exit`, `killed`, …
        event: String,
        /// Event's own fields.
        detail: Value,
    },
    /// Written by recovery after a torn tail was cut.
    Recovered {
        /// Bytes cut.
        cut_bytes: u64,
        /// SHA-256 of them, hex.
        cut_sha256: String,
    },
    /// A record that retention took ([`crate::prune`]). Its line is `{"tombstone":{"seq":N,"leaf":HEX}}`, so its time
    /// is the empty text, and no writer writes one.
    #[serde(skip)]
    Tombstone {
        /// Leaf hash of the line that was there, hex.
        leaf: String,
    },
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The launch, and its enforcement read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Format of this journal; readers refuse what they do not know.
    pub version: u32,
    /// The run's id.
    pub run: String,
    /// `wasm` or `native`.
    pub kind: String,
    /// Name of the agent.
    pub agent: String,
    /// The task.
    pub task: Vec<String>,
    /// The policy's id.
    pub policy: String,
    /// SHA-256 of the resolved policy, hex.
    pub policy_digest: String,
    /// SHA-256 of the plan, hex.
    pub plan_digest: String,
    /// SHA-256 of the component or program, hex.
    pub component_digest: String,
    /// Host name of the workspace.
    pub workspace: String,
    /// What else the agent's course depends on: engine, bundle of the policy, limits, environment.
    pub settings: Value,
    /// What the kernel said.
    pub enforcement: Value,
}

/// A tool call and its decision, before anything is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The agent's call id.
    pub id: u64,
    /// Fuel a wasm agent had used when it asked, in wasmtime's units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// The tool.
    pub tool: String,
    /// The arguments as decoded, or a reference to a blob.
    pub args: Payload,
    /// `read`, `write`, `local`, `remote`.
    pub effect: String,
    /// `allow` or `deny`.
    pub decision: String,
    /// Ids of the rules that decided; empty means no rule.
    pub rules: Vec<String>,
    /// Why, with file and line.
    pub reason: String,
    /// The layer that decided: `policy`, `schema`, `limit`, `approval`.
    pub layer: String,
    /// SHA-256 of the resolved policy, hex.
    pub policy_digest: String,
    /// All of a denial, as whoever decided made it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Value>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The agent's call id.
    pub id: u64,
    /// `ok`, `denied`, `invalid`, `failed`, `limit`; `unknown` if a crash took the end of an effect.
    pub status: String,
    /// What the agent was answered.
    pub body: Payload,
    /// Time the effect took, in microseconds.
    pub micros: u64,
}

/// A value in the line, or what stands for it: a digest and a size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The value itself.
    Inline(Value),
    /// `blobs/<sha256>` beside the segments holds the JSON text.
    Blob {
        /// Hex.
        sha256: String,
        /// Bytes.
        size: u64,
    },
    /// A salted commitment, for what may have to be forgotten: `private/<sha256>` holds a salt of 32 bytes and then
    /// the JSON text, and its name is the SHA-256 of both. Without that file the record tells nothing of the value.
    Private {
        /// Hex.
        sha256: String,
        /// Bytes of the JSON text.
        size: u64,
    },
}

/// A step of an approval. The call itself is recorded when it is decided: after an approval as allowed, else as denied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// From 1 in each run; the steps of one approval share it.
    pub id: u64,
    /// The id of the call that waits.
    pub call: u64,
    /// `asked`, `approved`, `denied`, `expired`, `withdrawn`.
    pub state: String,
    /// The tool.
    pub tool: String,
    /// What it acts on, in its one spelling.
    pub object: String,
    /// SHA-256 of the canonical action, hex: what an approval is bound to. Empty where the arguments are private,
    /// since it would tell who guesses them that the guess is right.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// The arguments; with `asked` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Payload>,
    /// Ids of the rules that want the approval; with `asked` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Why; of `asked` the rules with file and line.
    pub reason: String,
    /// When silence becomes a denial, RFC 3339; with `asked` alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expires: String,
    /// Who answered: `uid` and `pid` of the process that did, its `login_uid` (`/proc/PID/loginuid`) if it has one, and
    /// what the person wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Value>,
}

/// One notified syscall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Syscall {
    /// `0` for the agent's cell, else the tool cell.
    pub cell: u32,
    /// Number on `arch`.
    pub nr: i64,
    /// Name, or `syscall_N`.
    pub name: String,
    /// `x86_64`, `i386`, … (`AUDIT_ARCH_*`).
    pub arch: String,
    /// Raw argument registers; pointers are not followed.
    pub args: Vec<String>,
    /// Pid of the caller as the shim sees it; 0 if it is not visible there, as in every cell: the shim has a
    /// pid namespace of its own (seccomp_unotify(2)).
    pub pid: u32,
    /// `deny`.
    pub verdict: String,
    /// Errno the caller got, by name.
    pub errno: String,
    /// The tool call this happened under.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<u64>,
    /// More of the same (cell, nr) since the last record, folded into this count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
}
