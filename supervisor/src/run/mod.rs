//! One run, from a policy and an agent to an exit status and a journal.

mod control;
mod copy;
mod egress;
mod end;
mod prepare;
mod scene;
mod serve;
mod servers;
mod signals;
mod talk;
mod tools;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use stockade_policy::Policy;
use stockade_wire::control::{AgentExit, Reason, Replay, Replayed, RunEnd, Step, Summary};

pub use crate::output::Filter;
pub use scene::Clock;

use crate::error::RunError;
use crate::recorded::Recorded;

/// The agent.
#[derive(Debug, Clone)]
pub enum Agent {
    /// A component of the agent world.
    Wasm {
        /// Its file.
        component: PathBuf,
        /// Arguments of its `run` export.
        task: Vec<String>,
    },
    /// Any program of the host.
    Native {
        /// Argument vector; the first is an absolute path inside the cell.
        argv: Vec<String>,
    },
}

/// Makes one line for the operator's screen out of a level and a message.
pub type LogLine = Box<dyn FnMut(&str, &str) -> String>;

/// Shows the operator a step of a replay and waits until it may go on; the descriptor is readable once a signal has
/// come, which ends the waiting.
pub type ShowStep = Box<dyn FnMut(&Step, BorrowedFd<'_>)>;

/// Whether the run is a new one.
pub enum Course {
    /// It is.
    New,
    /// It goes on with a run that a crash ended, under its id, from its journal.
    Resume(Box<Recorded>),
    /// It does once more what a recorded run did, and leaves nothing.
    Replay {
        /// The run.
        recorded: Box<Recorded>,
        /// How.
        orders: Replay,
        /// Told of each step, if the orders say so.
        show: ShowStep,
    },
}

/// What the operator asked for.
pub struct Request {
    /// Where the agent's answers come from.
    pub course: Course,
    /// The policy, loaded and checked.
    pub policy: Policy,
    /// The file it was read from.
    pub policy_file: PathBuf,
    /// The agent's folder.
    pub workspace: Option<PathBuf>,
    /// The agent.
    pub agent: Agent,
    /// Name in records.
    pub name: String,
    /// The one MCP server that is to be looked at; then the agent never runs.
    pub pin: Option<String>,
    /// State folder, if not the default.
    pub state: Option<PathBuf>,
    /// Nobody is there to approve anything, so that a call that needs it is denied at once.
    pub headless: bool,
    /// What the operator's screen may show of stdout and stderr.
    pub filters: [Filter; 2],
    /// Makes a line for stderr out of a log line of the agent.
    pub log: LogLine,
    /// Told the run's id, and of what was cleaned up, as it happens.
    pub notice: Box<dyn FnMut(&str)>,
}

/// How a run went that was had.
#[derive(Debug)]
pub struct Finished {
    /// The run's id.
    pub run: String,
    /// Its journal's folder.
    pub journal: PathBuf,
    /// Why it ended.
    pub end: RunEnd,
    /// The wasm agent's own account.
    pub agent: Option<AgentExit>,
    /// What the shim counted.
    pub summary: Summary,
    /// Bytes for stdout and stderr that nobody took in time.
    pub undelivered: usize,
    /// The signal that interrupted it.
    pub interrupted_by: Option<i32>,
    /// Steps and when they were done.
    pub clock: Clock,
    /// What a replay found.
    pub replayed: Option<Replayed>,
    /// What the server that was to be looked at says of its tools, or why it does not.
    pub pinned: Option<Result<String, String>>,
}

impl Finished {
    /// The documented exit code (docs/exit-codes.md).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.end.reason {
            Reason::Finished => 0,
            Reason::Failed => 20,
            Reason::Crashed => 21,
            Reason::Denied => 22,
            Reason::LimitWall => 30,
            Reason::LimitMemory => 31,
            Reason::LimitFuel => 32,
            Reason::LimitPids => 33,
            Reason::LimitTable => 34,
            Reason::LimitJournal => 35,
            Reason::Killed => 40,
            Reason::Interrupted => 128 + self.interrupted_by.and_then(|s| u8::try_from(s).ok()).unwrap_or(2),
        }
    }
}

/// Runs an agent to its end.
///
/// # Errors
/// [`RunError`]; then no agent code has run, unless the error is the journal's.
pub fn run(request: Request) -> Result<Finished, RunError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(RunError::Host(
            "a run without the daemon needs root, and so does a replay: run it with sudo".into(),
        ));
    }
    let scene = scene::Scene::set(request)?;
    let ready = prepare::prepare(scene)?;
    serve::serve(ready)
}
