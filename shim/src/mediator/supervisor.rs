//! What the supervisor says.

use std::os::fd::OwnedFd;
use std::time::Instant;

use serde_json::{Map, Value, json};
use stockade_journal::{Record, Start, VERSION};
use stockade_policy::Bundle;
use stockade_wire::control::{CellId, Course, ExitStatus, RunEnd, ToShim, ToSupervisor};
use stockade_wire::frame::Status;

use super::Mediator;
use super::servers::MAX_SERVERS;
use crate::answer::Answer;
use crate::control::Received;
use crate::error::ShimError;
use crate::exec::{MAX_TOOLS, Stage};
use crate::notify::Watch;

/// Messages served before other descriptors get their turn.
const BATCH: usize = 32;

/// Listeners at one time: the agent's cell, tools, servers, and some that are about to hang up.
const MAX_WATCHES: usize = 4 * MAX_TOOLS + 2 * MAX_SERVERS;

impl Mediator {
    /// Sends what waits and serves what came; gives the run's end when the agent's cell is gone.
    pub(super) fn serve_control(&mut self) -> Result<Option<RunEnd>, ShimError> {
        self.control.flush()?;
        for _ in 0..BATCH {
            let Some(Received { message, rights }) = self.control.receive()? else { break };
            match message {
                ToShim::Setup(_) => return Err(out_of_place("setup", "said twice")),
                ToShim::Go => return Err(out_of_place("go", "in a run that is no replay")),
                ToShim::Listener { cell } => self.listen(cell, rights)?,
                ToShim::Attested { enforcement } => {
                    no_rights("attested", &rights)?;
                    self.attested(enforcement)?;
                }
                ToShim::ToolStarted { cell, enforcement } => self.tool_started(cell, enforcement, rights)?,
                ToShim::ServerStarted { cell, enforcement } => {
                    self.server_started(cell, enforcement, expect(rights, "server_started")?)?;
                }
                ToShim::ToolRefused { cell, error } => {
                    no_rights("tool_refused", &rights)?;
                    self.tool_refused(cell, &error)?;
                }
                ToShim::ToolExited { cell, status } => {
                    no_rights("tool_exited", &rights)?;
                    self.tool_exited(cell, status)?;
                }
                ToShim::Order { number, order, by } => {
                    no_rights("order", &rights)?;
                    self.obey(number, order, &by)?;
                }
                ToShim::CellExited { end } => {
                    no_rights("cell_exited", &rights)?;
                    return Ok(Some(end));
                }
            }
        }
        Ok(None)
    }

    fn listen(&mut self, cell: CellId, rights: Vec<OwnedFd>) -> Result<(), ShimError> {
        let [listener] = expect(rights, "listener")?;
        if cell >= self.next_cell {
            return Err(out_of_place("listener", "for a cell that was not asked for"));
        }
        if self.watches.len() >= MAX_WATCHES {
            return Err(out_of_place("listener", "over the number of cells at one time"));
        }
        self.watches.push(Watch::new(cell, listener));
        Ok(())
    }

    /// Writes the `start` record; then, and only then, agent code may run.
    fn attested(&mut self, enforcement: Value) -> Result<(), ShimError> {
        if self.condemned.is_some() || self.closed.is_some() {
            // It is to be killed; it does not start.
            return Ok(());
        }
        if self.started {
            return Err(out_of_place("attested", "said twice"));
        }
        if self.channel.as_ref().is_some_and(|channel| !channel.protocol.is_ready()) {
            return Err(out_of_place("attested", "before the cell was ready"));
        }
        let settings = match self.setup.course {
            Course::New => self.settings()?,
            // They are those of the first record.
            Course::Resumed | Course::Replayed(_) => Value::Null,
        };
        let bundle = self.decider.bundle();
        let setup = &self.setup;
        let start = Start {
            version: VERSION,
            run: setup.run.clone(),
            kind: setup.kind.clone(),
            agent: setup.agent.clone(),
            task: setup.task.clone(),
            policy: bundle.policy.clone(),
            policy_digest: bundle.digest.clone(),
            plan_digest: setup.plan_digest.clone(),
            component_digest: setup.component_digest.clone(),
            workspace: setup.workspace.clone(),
            settings,
            enforcement,
        };
        let first = match setup.course {
            Course::Resumed => resumed(start),
            Course::New | Course::Replayed(_) => Record::Start(Box::new(start)),
        };
        self.ledger.begin(first)?;
        self.started = true;
        self.control.send(&ToSupervisor::Started)?;
        self.tell_heads()?;
        if let Some(server) = self.setup.pin.clone() {
            self.start_server(&server)?;
        }
        match self.channel.as_mut().map(|channel| channel.start()) {
            Some(Err(error)) => self.channel_failed(error),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// The settings for the record: with the whole task, and with commitments for what may have to be forgotten.
    fn settings(&mut self) -> Result<Value, ShimError> {
        let mut settings = self.setup.settings.clone();
        let env = settings.get_mut("env").and_then(Value::as_array_mut);
        for variable in env.into_iter().flatten() {
            let Some(value) = variable.get_mut(1) else { continue };
            if let Some(private) = value.get("private").cloned() {
                let payload = self.ledger.private(private)?;
                *value = serde_json::to_value(payload).map_err(|e| ShimError::Protocol(e.to_string()))?;
            }
        }
        if let (Some(map), "wasm") = (settings.as_object_mut(), self.setup.kind.as_str()) {
            map.insert("task".to_owned(), json!(self.setup.task));
        }
        let retention = retention(self.decider.bundle());
        if let (Some(map), false) = (settings.as_object_mut(), retention.is_empty()) {
            map.insert("retention".to_owned(), retention.into());
        }
        Ok(settings)
    }

    fn tool_started(&mut self, cell: CellId, enforcement: Value, rights: Vec<OwnedFd>) -> Result<(), ShimError> {
        let [stdout, stderr] = expect(rights, "tool_started")?;
        let Some(tool) = self.tools.get_mut(&cell) else {
            return Err(out_of_place("tool_started", "for a cell that was not asked for"));
        };
        let call = tool.call;
        tool.started(stdout, stderr, Instant::now());
        let detail = json!({ "cell": cell, "call": call, "enforcement": enforcement });
        self.ledger.lifecycle("tool_started", detail)
    }

    fn tool_refused(&mut self, cell: CellId, error: &str) -> Result<(), ShimError> {
        if self.servers.is_cell(cell) {
            return self.server_refused(cell, error);
        }
        let Some(tool) = self.tools.remove(&cell) else {
            return Err(out_of_place("tool_refused", "for a cell that was not asked for"));
        };
        self.ledger.lifecycle("tool_refused", json!({ "cell": cell, "call": tool.call, "error": error }))?;
        let answer = Answer::error(Status::Failed, "launch", "the command could not be started");
        self.answer(tool.call, answer)
    }

    fn tool_exited(&mut self, cell: CellId, status: ExitStatus) -> Result<(), ShimError> {
        if self.servers.is_cell(cell) {
            return self.server_exited(cell, status);
        }
        let Some(tool) = self.tools.remove(&cell) else {
            return Err(out_of_place("tool_exited", "for a cell that was not asked for"));
        };
        self.last_syscalls(cell, Some(tool.call))?;
        let killed_for = match tool.stage() {
            Stage::OverTime => Some("wall"),
            Stage::LaunchTimedOut => Some("launch"),
            Stage::CutShort => Some("frozen"),
            Stage::Launching | Stage::Running => None,
        };
        let detail = json!({ "cell": cell, "call": tool.call, "status": status, "killed_for": killed_for });
        self.ledger.lifecycle("tool_exited", detail)?;
        self.answer(tool.call, tool.answer(status))
    }

    /// Records what the processes of a cell did last: it belongs before the cell's end.
    pub(super) fn last_syscalls(&mut self, cell: CellId, call: Option<u64>) -> Result<(), ShimError> {
        for watch in self.watches.iter().filter(|watch| watch.cell == cell) {
            watch.serve(call, &mut self.fold, &mut self.ledger)?;
        }
        for line in self.fold.end(cell) {
            self.ledger.append(Record::Syscall(line))?;
        }
        Ok(())
    }
}

/// What a run that goes on has instead of a second start: what may differ from the first.
fn resumed(start: Start) -> Record {
    let Start { plan_digest, enforcement, .. } = start;
    let detail = json!({ "plan_digest": plan_digest, "enforcement": enforcement });
    Record::Lifecycle { event: "resumed".to_owned(), detail }
}

/// When records may go, for whoever prunes the journal later without the policy.
fn retention(bundle: &Bundle) -> Map<String, Value> {
    let times = [("compact_ms", bundle.compact_ms), ("keep_ms", bundle.keep_ms)];
    times.into_iter().filter_map(|(key, time)| Some((key.to_owned(), time?.into()))).collect()
}

fn out_of_place(message: &str, because: &str) -> ShimError {
    ShimError::Protocol(format!("`{message}` {because}"))
}

fn expect<const N: usize>(rights: Vec<OwnedFd>, message: &str) -> Result<[OwnedFd; N], ShimError> {
    <[OwnedFd; N]>::try_from(rights)
        .map_err(|rights| ShimError::Protocol(format!("`{message}` with {} descriptors, not {N}", rights.len())))
}

fn no_rights(message: &str, rights: &[OwnedFd]) -> Result<(), ShimError> {
    if rights.is_empty() { Ok(()) } else { Err(out_of_place(message, "with descriptors")) }
}
