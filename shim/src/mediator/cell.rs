//! What the cell says.

use std::time::Instant;

use nix::poll::PollFlags;
use serde_json::{Value, json};
use stockade_journal::Record;
use stockade_wire::control::{AgentExit, ToSupervisor};
use stockade_wire::frame::{FrameError, FromCell, Level};

use super::call::Asked;
use super::flight::Origin;
use super::{CLOSED_PATIENCE, Mediator};
use crate::channel::Arrival;
use crate::error::ShimError;
use crate::json::parse;
use crate::logs::{cut, level_name};
use crate::protocol::Breach;

/// Frames served before other descriptors get their turn.
const BATCH: usize = 32;

/// Longest body of a `Ready` or `Exit` frame, in bytes.
const MAX_REPORT: usize = 64 * 1024;

/// Longest `detail` of an agent's exit, in bytes.
pub(crate) const MAX_DETAIL: usize = 8 * 1024;

impl Mediator {
    /// Frames may be served now: nobody has to be waited for.
    pub(super) fn can_serve_frames(&self) -> bool {
        !self.control.congested() && self.channel.as_ref().is_some_and(|channel| !channel.congested())
    }

    /// Takes what the cell sent, or sends what it did not take yet.
    pub(super) fn serve_cell(&mut self, events: PollFlags) -> Result<(), ShimError> {
        let Some(channel) = &mut self.channel else { return Ok(()) };
        if channel.congested() {
            if let Err(error) = channel.flush() {
                return self.channel_failed(error);
            }
            // What came while the cell was not listening is still in the buffer.
            self.backlog = true;
            return Ok(());
        }
        if self.backlog || !events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return Ok(());
        }
        match channel.read() {
            Ok(Arrival::Bytes) => {
                self.backlog = true;
                Ok(())
            }
            Ok(Arrival::Nothing) => Ok(()),
            Ok(Arrival::Closed) => {
                self.close_channel();
                Ok(())
            }
            Err(breach) => self.condemn(&breach.to_string()),
        }
    }

    /// The cell's end is closed: no more can be asked, and the cell should be on its way out.
    fn close_channel(&mut self) {
        self.channel = None;
        self.backlog = false;
        if self.condemned.is_none() {
            self.closed = Some(Instant::now() + CLOSED_PATIENCE);
        }
    }

    /// Serves frames that have arrived whole, a bounded number.
    pub(super) fn serve_frames(&mut self) -> Result<(), ShimError> {
        for _ in 0..BATCH {
            if !self.can_serve_frames() {
                return Ok(());
            }
            let Some(channel) = &mut self.channel else { break };
            match channel.next_frame() {
                Ok(Some(frame)) => self.serve_frame(frame)?,
                Ok(None) => {
                    self.backlog = false;
                    break;
                }
                Err(breach) => return self.condemn(&breach.to_string()),
            }
        }
        Ok(())
    }

    fn serve_frame(&mut self, frame: FromCell) -> Result<(), ShimError> {
        match frame {
            FromCell::Call { id, fuel, tool, args } => {
                self.call(&Asked { id, origin: Origin::Channel, fuel: Some(fuel), tool: &tool, text: &args })
            }
            FromCell::Log { level, message } => self.log(level, message),
            FromCell::Ready { report } => match report_of("ready", &report) {
                Ok(report) => Ok(self.control.send(&ToSupervisor::CellReady { report })?),
                Err(breach) => self.condemn(&breach.to_string()),
            },
            FromCell::Exit { outcome } => self.exit(&outcome),
        }
    }

    fn exit(&mut self, outcome: &[u8]) -> Result<(), ShimError> {
        let parsed = report_of("exit", outcome).and_then(|value| {
            let problem = |e: serde_json::Error| Breach::Body { frame: "exit", problem: e.to_string() };
            serde_json::from_value::<AgentExit>(value).map_err(problem)
        });
        match parsed {
            Ok(mut exit) => {
                cut(&mut exit.detail, MAX_DETAIL);
                if self.recall_exit(&exit)? {
                    return Ok(());
                }
                let detail = serde_json::to_value(&exit).unwrap_or(Value::Null);
                self.ledger.lifecycle("agent_exit", detail)?;
                Ok(self.control.send(&ToSupervisor::AgentExit(exit))?)
            }
            Err(breach) => self.condemn(&breach.to_string()),
        }
    }

    fn log(&mut self, level: Level, message: String) -> Result<(), ShimError> {
        let Some(kept) = self.logs.admit(message) else { return Ok(()) };
        let level = level_name(level).to_owned();
        if self.recall_log(&level, &kept)? {
            return Ok(());
        }
        let message = kept.message.clone();
        self.ledger.append(Record::Log { level: level.clone(), message, dropped: kept.dropped })?;
        Ok(self.control.send(&ToSupervisor::Log { level, message: kept.message })?)
    }

    /// The channel could not be written.
    pub(super) fn channel_failed(&mut self, error: FrameError) -> Result<(), ShimError> {
        match error {
            FrameError::Closed => {
                // What it said before it went counts: its own account of its end is last.
                self.drain_channel()?;
                self.close_channel();
                Ok(())
            }
            other => self.condemn(&other.to_string()),
        }
    }

    /// Takes what a cell that is gone has left in its channel. Its calls are not performed: there is
    /// nobody to answer.
    pub(super) fn drain_channel(&mut self) -> Result<(), ShimError> {
        loop {
            let Some(channel) = &mut self.channel else { return Ok(()) };
            let breach = match channel.next_frame() {
                Ok(Some(FromCell::Call { id, tool, .. })) => {
                    self.ledger.lifecycle("call_unserved", json!({ "id": id, "tool": tool }))?;
                    continue;
                }
                Ok(Some(frame)) => {
                    self.serve_frame(frame)?;
                    continue;
                }
                Ok(None) => match channel.read() {
                    Ok(Arrival::Bytes) => continue,
                    Ok(_) => None,
                    Err(breach) => Some(breach),
                },
                Err(breach) => Some(breach),
            };
            self.channel = None;
            self.backlog = false;
            if let Some(breach) = breach {
                self.ledger.lifecycle("killed", json!({ "reason": breach.to_string() }))?;
            }
        }
    }
}

fn report_of(frame: &'static str, text: &[u8]) -> Result<Value, Breach> {
    if text.len() > MAX_REPORT {
        return Err(Breach::Body { frame, problem: format!("{} bytes; allowed are {MAX_REPORT}", text.len()) });
    }
    parse(text).map_err(|problem| Breach::Body { frame, problem })
}
