//! How a run ended, in the words that journal and exit codes share.

use nix::errno::Errno;
use stockade_wire::control::Reason;
use wasmtime::{Trap, WasmBacktrace};

use super::channel::ChannelError;
use crate::message::prefix;

/// Longest detail in bytes.
const MAX_DETAIL: usize = 16 << 10;

/// Why the host ended agent code. wasmtime carries it out as the trap's error.
#[derive(Debug)]
pub(super) enum Stop {
    /// The wall-clock limit passed inside a host call.
    Wall,
    /// All linear memories together would have needed this many bytes.
    Memory {
        /// Bytes.
        asked: u64,
        /// Bytes.
        limit: u64,
    },
    /// All tables together would have needed this many elements.
    Table {
        /// Elements.
        asked: u64,
        /// Elements.
        limit: u64,
    },
    /// The agent can't be told that a clock or random numbers are refused, so it ends.
    Denied {
        /// `clock` or `random`.
        tool: &'static str,
        /// The shim's words for the agent.
        answer: String,
    },
    /// A tool behind a WASI function answered other than its contract says.
    Tool {
        /// `clock` or `random`.
        tool: &'static str,
        /// What it said.
        answer: String,
    },
    /// The agent exited (`wasi:cli/exit`) with this status.
    Exit(u8),
    /// More bytes of randomness in one call than a cell gives.
    RandomLength(u64),
    /// The channel is unusable.
    Channel(ChannelError),
    /// The agent's stdout or stderr takes nothing: whoever reads it is gone, which is no news for an agent.
    Output(Errno),
    /// The host had no memory for a growth that the limits allow.
    Host(String),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wall => write!(f, "the wall-clock limit passed during a host call"),
            Self::Memory { asked, limit } => write!(f, "{asked} bytes of memory asked for; the limit is {limit}"),
            Self::Table { asked, limit } => write!(f, "{asked} table elements asked for; the limit is {limit}"),
            Self::Denied { tool, answer } => write!(f, "`{tool}` is denied and WASI has no way to say so: {answer}"),
            Self::Tool { tool, answer } => write!(f, "`{tool}` gave no usable answer: {answer}"),
            Self::Exit(0) => Ok(()),
            Self::Exit(status) => write!(f, "the agent exited with status {status}"),
            Self::RandomLength(n) => write!(f, "{n} random bytes asked for in one call"),
            Self::Channel(e) => write!(f, "{e}"),
            Self::Output(e) => write!(f, "the agent's output: {}", e.desc()),
            Self::Host(why) => write!(f, "the host had no memory for the agent: {why}"),
        }
    }
}

impl std::error::Error for Stop {}

impl From<ChannelError> for Stop {
    fn from(e: ChannelError) -> Self {
        match e {
            ChannelError::Expired => Self::Wall,
            other => Self::Channel(other),
        }
    }
}

/// What `run` returned, or what kept it from returning.
pub(super) enum Outcome {
    /// It returned.
    Returned(Result<String, String>),
    /// It trapped, exited, or was stopped.
    Ended(wasmtime::Error),
    /// It was waiting when the wall-clock limit passed.
    Expired,
}

/// Reason and bounded detail.
pub(super) fn classify(outcome: Outcome) -> (Reason, String) {
    let (reason, detail) = match outcome {
        Outcome::Returned(Ok(text)) => (Reason::Finished, text),
        Outcome::Returned(Err(text)) => (Reason::Failed, text),
        Outcome::Expired => (Reason::LimitWall, "the wall-clock limit passed while the agent waited".to_owned()),
        Outcome::Ended(error) => ended(&error),
    };
    (reason, prefix(&detail, MAX_DETAIL).to_owned())
}

fn ended(error: &wasmtime::Error) -> (Reason, String) {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        let reason = match stop {
            Stop::Wall => Reason::LimitWall,
            Stop::Memory { .. } => Reason::LimitMemory,
            Stop::Table { .. } => Reason::LimitTable,
            Stop::Denied { .. } => Reason::Denied,
            Stop::Tool { .. } | Stop::RandomLength(_) => Reason::Crashed,
            Stop::Exit(0) => Reason::Finished,
            Stop::Exit(_) => Reason::Failed,
            Stop::Channel(_) | Stop::Output(_) | Stop::Host(_) => Reason::Killed,
        };
        return (reason, stop.to_string());
    }
    let reason = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Reason::LimitFuel,
        Some(Trap::Interrupt) => Reason::LimitWall,
        _ => Reason::Crashed,
    };
    (reason, describe(error))
}

/// The cause first, then where in the agent's code it happened.
fn describe(error: &wasmtime::Error) -> String {
    let mut text = error.root_cause().to_string();
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>()
        && !backtrace.frames().is_empty()
    {
        text.push('\n');
        text.push_str(&backtrace.to_string());
    }
    text
}
