//! `stockade-cell`: PID 1 of a wasm cell, in an empty root.
//!
//! The order is the contract, and `main` is its audit: take the inherited descriptors; load the
//! artifact, the only step that maps executable memory; prepare everything that allocates
//! threads, randomness or signal stacks; close the last layer; prove it by trying what must
//! fail; say `Ready`; wait for `Start`; only then does agent code run.

mod artifact;
mod channel;
mod deadline;
mod end;
mod host;
mod limits;
mod report;
mod seal;
mod setup;
mod ticker;

use std::io::Write;
use std::process::ExitCode;

use stockade_wire::cell::cell_exit;
use stockade_wire::control::{AgentExit, Reason};
use stockade_wire::frame::FromCell;

use self::setup::{Prepared, SetupError};

/// Longest message to the operator in bytes.
const MAX_MESSAGE: usize = 4096;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let code = match run() {
        Ok(exit) => match exit.reason {
            Reason::Finished => cell_exit::FINISHED,
            Reason::Failed => cell_exit::FAILED,
            _ => cell_exit::TRAPPED,
        },
        Err(e) => {
            let text = crate::message::clean(&e.to_string(), MAX_MESSAGE - 1) + "\n";
            let _ = std::io::stderr().write_all(text.as_bytes());
            cell_exit::SETUP
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn run() -> Result<AgentExit, SetupError> {
    let Prepared { mut agent, ticker, filter, facts, .. } = setup::prepare()?;
    let before = seal::before();
    let canaries = seal::close(filter, before).map_err(SetupError::Seal)?;
    let report = report::ready(&facts, &canaries);
    let channel = agent.channel();
    channel.send(&FromCell::Ready { report }).map_err(SetupError::Channel)?;
    channel.wait_for_start().map_err(SetupError::Channel)?;

    let exit = agent.run(ticker);
    let outcome = serde_json::to_vec(&exit).unwrap_or_default();
    if let Err(e) = agent.channel().send_last(&FromCell::Exit { outcome }) {
        // The supervisor sees the exit code and this line; the shim has gone or is going.
        let _ = writeln!(std::io::stderr(), "{}", crate::message::clean(&e.to_string(), MAX_MESSAGE - 1));
    }
    Ok(exit)
}
