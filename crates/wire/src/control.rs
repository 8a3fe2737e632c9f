//! Messages between the supervisor and a shim: one JSON object per `SOCK_SEQPACKET` datagram.
//!
//! The supervisor launches; the shim decides and records. So the shim asks for tool cells and
//! the supervisor reports what became of them, and nothing an agent runs before the shim has
//! answered [`ToSupervisor::Started`].

use serde::{Deserialize, Serialize};

use crate::operator::{Operator, Order, Pending};

/// Longest datagram in bytes, both ways.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// Which process set a message is about: `0` is the agent's cell, others are cells of tools and MCP servers.
pub type CellId = u32;

/// What the supervisor tells the shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToShim {
    /// First message. Descriptor: a sealed memfd with the compiled policy bundle
    /// (`stockade_policy::Bundle::encode`).
    Setup(Box<Setup>),
    /// Descriptor: the seccomp user-notification listener (seccomp_unotify(2)) of a cell.
    Listener {
        /// Whose listener it is.
        cell: CellId,
    },
    /// The enforcement of the agent's cell as read back from the kernel. The shim writes the
    /// `start` record with it, makes it durable, and answers [`ToSupervisor::Started`].
    Attested {
        /// The read-back, as the journal keeps it.
        enforcement: serde_json::Value,
    },
    /// A tool cell runs. Descriptors: read ends of its stdout and stderr.
    ToolStarted {
        /// The cell that [`ToSupervisor::LaunchTool`] named.
        cell: CellId,
        /// The read-back, as the journal keeps it.
        enforcement: serde_json::Value,
    },
    /// An MCP server's cell runs. Descriptors: the write end of its stdin, the read ends of its stdout and stderr.
    ServerStarted {
        /// The cell that [`ToSupervisor::LaunchServer`] named.
        cell: CellId,
        /// The read-back, as the journal keeps it.
        enforcement: serde_json::Value,
    },
    /// A tool's or server's cell could not be launched.
    ToolRefused {
        /// The cell that [`ToSupervisor::LaunchTool`] or [`ToSupervisor::LaunchServer`] named.
        cell: CellId,
        /// The step and the reason, for the journal; not shown to the agent.
        error: String,
    },
    /// A tool's or server's cell is gone, all of it.
    ToolExited {
        /// Which.
        cell: CellId,
        /// How.
        status: ExitStatus,
    },
    /// An operator's order; answered by [`ToSupervisor::Obeyed`].
    Order {
        /// Chosen by the supervisor, never used twice.
        number: u64,
        /// What is to be done.
        order: Order,
        /// Who says so.
        by: Operator,
    },
    /// The replay's next step may be made.
    Go,
    /// The agent's cell is gone, all of it. The shim writes its last records, answers
    /// [`ToSupervisor::Bye`] and exits.
    CellExited {
        /// How the run ended.
        end: RunEnd,
    },
}

/// What a shim must know before anything else.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The run's id.
    pub run: String,
    /// `wasm` or `native`.
    pub kind: String,
    /// Name of the agent, as the operator knows it.
    pub agent: String,
    /// The task given on the command line.
    pub task: Vec<String>,
    /// SHA-256 of the plan that launched the cell, hex.
    pub plan_digest: String,
    /// SHA-256 of the component or of the program, hex.
    pub component_digest: String,
    /// What the agent's course depends on besides: engine, bundle, limits, environment. For the `start` record.
    pub settings: serde_json::Value,
    /// Whether the run is a new one.
    pub course: Course,
    /// Name of the policy bundle that comes with this message (`stockade_policy::Bundle::name`). Bytes of
    /// another name are refused.
    pub policy_bundle: String,
    /// Canonical name of the workspace on the host, for the operator only.
    pub workspace: String,
    /// The one MCP server that the run is about: it is started at once and asked for its tools, and the agent never runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// How long a call waits for an approval, in milliseconds; none if nobody is there to give one, so that such calls
    /// are denied at once.
    pub approvals: Option<u64>,
    /// Names of tools that are frozen on this host.
    pub frozen: Vec<String>,
    /// Addresses of this machine, to which no connection leads by a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_addresses: Vec<std::net::IpAddr>,
}

/// Where the answers to an agent come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// From what the calls do: the journal is empty.
    New,
    /// From the journal as far as it goes, then from what the calls do, and the journal goes on.
    Resumed,
    /// From the journal alone, which is a copy and only read.
    Replayed(Replay),
}

/// How a run is replayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Fuel is not compared: another component runs.
    pub other: bool,
    /// Records after this one are not looked at.
    pub until: Option<u64>,
    /// [`ToSupervisor::Step`] is said before each answer, and [`ToShim::Go`] waited for.
    pub step: bool,
}

/// One step of a replay that went as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The record's number.
    pub seq: u64,
    /// What the agent did: `call`, `log` or `exit`, with its details, shortened.
    pub what: serde_json::Value,
}

/// How a replay went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    /// Calls that were as recorded.
    pub calls: u64,
    /// Log lines that were as recorded.
    pub logs: u64,
    /// Fuel the agent had used when it was last heard of, in wasmtime's units.
    pub fuel: u64,
    /// How it ended.
    pub end: ReplayEnd,
    /// The recorded end of the run, if the journal has one: a [`RunEnd`].
    pub recorded_end: Option<serde_json::Value>,
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ReplayEnd {
    /// The agent ended, too, as recorded.
    Identical,
    /// All that is recorded is the same, but the agent's own end is not on record.
    Short {
        /// The last record.
        seq: u64,
        /// Why there is no more.
        because: String,
    },
    /// The record that was asked for has been reached.
    Until {
        /// The last record that was looked at.
        seq: u64,
    },
    /// The agent did something else.
    Diverged(Divergence),
    /// The journal cannot be read on.
    Broken {
        /// Where and why.
        error: String,
    },
}

/// The first thing that was not as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// The record's number.
    pub seq: u64,
    /// What differs: `action`, `tool`, `arguments`, `fuel`, `level`, `message`, `end`.
    pub what: String,
    /// What is on record, shortened.
    pub recorded: serde_json::Value,
    /// What the agent did now, shortened.
    pub now: serde_json::Value,
}

/// What the shim tells the supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToSupervisor {
    /// The policy is loaded, the journal is open, the shim's own layers are closed.
    Hello,
    /// A wasm cell has loaded its component and closed its last layer.
    CellReady {
        /// The cell's own report.
        report: serde_json::Value,
    },
    /// The `start` record is durable; agent code may run.
    Started,
    /// These records are durable: their leaf hashes (RFC 6962), for the notary. Every record is told once, in order.
    Committed {
        /// Number of the first, from 1.
        first: u64,
        /// Hashes in lower-case hex, at most [`crate::notary::MAX_LEAVES`].
        leaves: Vec<String>,
    },
    /// Launch a tool cell for one decided and journaled `exec` call.
    LaunchTool {
        /// Chosen by the shim, from 1, never used twice.
        cell: CellId,
        /// Id of the `[[exec]]` entry that allowed it.
        exec: String,
        /// The whole argument vector; the first is the entry's absolute program.
        argv: Vec<String>,
    },
    /// Launch the cell of an MCP server, under the server's own policy.
    LaunchServer {
        /// Chosen by the shim as for [`Self::LaunchTool`], from the same numbers.
        cell: CellId,
        /// Name of the `[[mcp]]` entry.
        name: String,
    },
    /// End a tool's or server's cell (time limit, output limit, broken protocol).
    KillTool {
        /// Which.
        cell: CellId,
    },
    /// End the run now: the agent broke its channel's rules or a record can't be written.
    KillCell {
        /// Why, for the operator.
        reason: String,
    },
    /// End the run now: the next record would pass the journal's limit.
    JournalFull {
        /// The limit and what would have passed it, for the operator.
        detail: String,
    },
    /// A line of the agent's log that has been journaled, for the operator's screen.
    Log {
        /// `debug`, `info`, `warn`, `error`.
        level: String,
        /// Text, not sanitised.
        message: String,
    },
    /// The wasm agent's own account of its end, before the cell exits.
    AgentExit(AgentExit),
    /// A call waits for an approval.
    Asks(Pending),
    /// An approval waits no more.
    Settled {
        /// Its number.
        approval: u64,
    },
    /// What came of an order.
    Obeyed {
        /// The order's number.
        number: u64,
        /// In one line, for the operator: what was done, or why nothing was.
        outcome: Result<String, String>,
    },
    /// A step of a replay, whose answer waits for [`ToShim::Go`].
    Step(Step),
    /// The replay is over; the cell can be ended.
    Replayed(Replayed),
    /// A piece of what the server that is looked at says of its tools: JSON of a `tools/list` answer.
    LiveTools {
        /// The next characters.
        text: String,
    },
    /// The server that was to be looked at has shown its tools; the run can be ended.
    Pinned {
        /// Why it has not, if so.
        error: Option<String>,
    },
    /// The last record is durable.
    Bye(Summary),
}

/// How a process set ended (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// `exit(code)`.
    Code(i32),
    /// Killed by a signal, by number.
    Signal(i32),
}

/// A wasm agent's end, as its cell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentExit {
    /// Why.
    pub reason: Reason,
    /// The agent's own message or the trap's text, bounded.
    pub detail: String,
    /// Fuel used, in wasmtime's units.
    pub fuel: u64,
}

/// Why a run ended. The names are stable: journal, exit codes and docs share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The agent said it is done.
    Finished,
    /// The agent said it failed, or exited non-zero.
    Failed,
    /// The agent trapped or was killed by a signal of its own making.
    Crashed,
    /// A denial ended it.
    Denied,
    /// Wall-clock limit.
    LimitWall,
    /// Memory limit (cgroup, or a linear memory).
    LimitMemory,
    /// Fuel limit.
    LimitFuel,
    /// Task limit.
    LimitPids,
    /// Table limit.
    LimitTable,
    /// The journal has as many bytes as it may have.
    LimitJournal,
    /// The operator stopped it (SIGINT, SIGTERM).
    Interrupted,
    /// The supervisor killed it: a broken channel, a dead shim, a record that can't be written.
    Killed,
}

/// The end of a run as the supervisor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnd {
    /// Why.
    pub reason: Reason,
    /// What wait(2) said, if the cell was born.
    pub status: Option<ExitStatus>,
    /// For the operator.
    pub detail: String,
    /// Bytes the agent wrote to stdout and stderr.
    pub output_bytes: u64,
    /// Of those, bytes dropped over the limit.
    pub output_dropped: u64,
    /// SHA-256 of all bytes the agent wrote to stdout, hex.
    pub stdout_sha256: String,
    /// The same of stderr.
    pub stderr_sha256: String,
}

/// What the shim counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Tool calls decided.
    pub calls: u64,
    /// Of those, denied.
    pub denied: u64,
    /// Syscalls that came as user notifications; all were denied.
    pub syscalls: u64,
    /// Records written.
    pub records: u64,
    /// Chained hash of the last record, hex.
    pub head: String,
}
