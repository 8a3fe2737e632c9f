//! The end of a run: the last records, or what can still be done when there can be none.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use stockade_journal::Record;
use stockade_wire::control::{RunEnd, Summary, ToShim, ToSupervisor};
use stockade_wire::frame::Status;

use super::Mediator;
use crate::answer::Answer;
use crate::error::ShimError;
use crate::notify::deny_unrecorded;

/// Time the supervisor has to take the last messages, or to end a run that can't be recorded.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time connections have to end after their cell.
const CONNECTIONS: Duration = Duration::from_secs(2);

impl Mediator {
    /// Writes the last records, makes them durable, and says so.
    pub(super) fn finish(&mut self, end: &RunEnd) -> Result<(), ShimError> {
        self.hear_egress_out()?;
        self.ledger.close();
        self.agents.close();
        self.drain_channel()?;
        for (cell, tool) in std::mem::take(&mut self.tools) {
            self.control.send(&ToSupervisor::KillTool { cell })?;
            let answer = Answer::error(Status::Failed, "agent_gone", "the agent's cell ended before the command");
            self.answer(tool.call, answer)?;
        }
        self.end_servers()?;
        self.close_egress("the run ended")?;
        self.ledger.open()?;
        self.flush_counts()?;
        let detail = serde_json::to_value(end).map_err(|e| ShimError::Protocol(e.to_string()))?;
        self.ledger.last("exit", detail)?;
        self.tell_heads()?;
        let (records, head) = self.ledger.head();
        let summary = Summary {
            calls: self.calls.decided + self.calls.over,
            denied: self.calls.denied + self.calls.over,
            syscalls: self.fold.total(),
            records,
            head,
        };
        self.control.send(&ToSupervisor::Bye(summary))?;
        self.deliver()
    }

    /// With the cell gone its connections end; how, egress tells. What it has not told in time is recorded as such.
    fn hear_egress_out(&mut self) -> Result<(), ShimError> {
        let deadline = Instant::now() + CONNECTIONS;
        while let Some(desk) = self.egress.as_ref().filter(|desk| !desk.is_idle()) {
            let events = if desk.congested() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            let mut fds = [PollFd::new(desk.fd(), events)];
            if !wait(&mut fds, deadline)? {
                break;
            }
            self.serve_egress(events)?;
        }
        Ok(())
    }

    /// Writes what was counted and has no line yet.
    fn flush_counts(&mut self) -> Result<(), ShimError> {
        for watch in &self.watches {
            watch.serve(None, &mut self.fold, &mut self.ledger)?;
        }
        for line in self.fold.all() {
            self.ledger.append(Record::Syscall(line))?;
        }
        if let Some(dropped) = self.logs.dropped() {
            self.ledger.lifecycle("log_dropped", dropped)?;
        }
        if self.calls.over_unrecorded > 0 {
            self.ledger.lifecycle("calls_over_limit", json!({ "unrecorded": self.calls.over_unrecorded }))?;
        }
        Ok(())
    }

    /// Waits until the supervisor has taken all messages.
    fn deliver(&mut self) -> Result<(), ShimError> {
        let deadline = Instant::now() + PATIENCE;
        while self.control.congested() {
            if self.poll_control(PollFlags::POLLOUT, deadline)?.is_none() {
                return Err(ShimError::Protocol("the last message was not taken".to_owned()));
            }
            self.control.flush()?;
        }
        Ok(())
    }

    /// Does what can still be done after an error.
    pub(super) fn give_up(&mut self, error: &ShimError) {
        self.channel = None;
        self.agents.close();
        match error {
            ShimError::Journal(_) => self.wind_down(&error.to_string()),
            // The supervisor kills the cell when this process and its descriptors are gone; what is
            // left to do is the record of it, as far as it can be written.
            _ => {
                let reason = match error {
                    ShimError::Orphaned => "the supervisor is gone".to_owned(),
                    other => other.to_string(),
                };
                self.ledger.close();
                let recorded = self
                    .ledger
                    .open()
                    .and_then(|()| self.flush_counts())
                    .and_then(|()| self.ledger.lifecycle("killed", json!({ "reason": reason })))
                    .and_then(|()| self.ledger.commit());
                if let Err(also) = recorded {
                    crate::diagnose(&also);
                }
                let _ = self.tell_heads();
                let _ = self.control.send(&ToSupervisor::KillCell { reason });
            }
        }
    }

    /// No record can be written any more: has the cell killed, and refuses every syscall until it
    /// is. Whatever fails here, this process ends, and with it every door of the cell.
    fn wind_down(&mut self, reason: &str) {
        for cell in self.tools.keys().copied().chain(self.servers.cells()) {
            let _ = self.control.send(&ToSupervisor::KillTool { cell });
        }
        let deadline = Instant::now() + PATIENCE;
        let mut done = self.control.send(&ToSupervisor::KillCell { reason: reason.to_owned() }).is_err();
        while !done {
            done = !self.wind_down_step(deadline).unwrap_or(false);
        }
    }

    /// Whether there is something to wait for still.
    fn wind_down_step(&mut self, deadline: Instant) -> Result<bool, ShimError> {
        let mut fds: Vec<_> = self.watches.iter().map(|watch| PollFd::new(watch.fd(), PollFlags::POLLIN)).collect();
        let out = if self.control.congested() { PollFlags::POLLOUT } else { PollFlags::empty() };
        fds.push(PollFd::new(self.control.fd(), PollFlags::POLLIN | out));
        if !wait(&mut fds, deadline)? {
            return Ok(false);
        }
        let events: Vec<PollFlags> = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::POLLIN)).collect();
        for (watch, events) in self.watches.iter_mut().zip(events) {
            if events.contains(PollFlags::POLLIN) {
                deny_unrecorded(watch)?;
            } else if !events.is_empty() {
                watch.finish();
            }
        }
        self.watches.retain(|watch| !watch.is_done());
        self.control.flush()?;
        while let Some(received) = self.control.receive()? {
            if matches!(received.message, ToShim::CellExited { .. }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn poll_control(&self, events: PollFlags, deadline: Instant) -> Result<Option<()>, ShimError> {
        let mut fds = [PollFd::new(self.control.fd(), events)];
        Ok(wait(&mut fds, deadline)?.then_some(()))
    }
}

/// poll(2) until something happens; false after the deadline.
fn wait(fds: &mut [PollFd<'_>], deadline: Instant) -> Result<bool, ShimError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        match poll(fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(ShimError::Os { what: "poll", errno }),
        }
    }
}
