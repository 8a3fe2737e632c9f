//! The run itself: one loop over everybody's descriptors, until the agent's cell is gone.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use stockade_wire::control::{AgentExit, ExitStatus, Reason, Replayed, RunEnd, Summary, ToShim, ToSupervisor};
use stockade_wire::operator::{Answer, Operator, Pending, Question};

use crate::attest::MountWatch;
use crate::cgroup::end_group;
use crate::error::{Doing, RunError};
use crate::heads::Heads;
use crate::operator;
use crate::run::end::{of_native, of_wasm, program_status};
use crate::run::prepare::Ready;
use crate::run::servers;
use crate::run::tools::{self, Tool};
use crate::run::{Agent, Course, Finished};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an agent's account may take through the shim after its cell has exited.
const ACCOUNT: Duration = Duration::from_secs(10);
/// How long a reader may take for what it was not given before the wall limit.
const READER: Duration = Duration::from_secs(2);
/// How long a shim may take for its last records.
const FAREWELL: Duration = Duration::from_secs(30);

/// Who a descriptor of the poll set belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Control,
    Diagnostics,
    Cell,
    Pipe(usize),
    Screen(usize),
    /// The notary has signed, or is gone.
    Notary,
    Tool(usize),
    /// An operator's command.
    Door(operator::Source),
    /// Egress needs a socket, or is gone.
    Egress,
    /// The agent's mount table has changed.
    Mounts,
    /// A tool's has.
    ToolMounts(usize),
}

struct Run {
    ready: Ready,
    tools: Vec<Tool>,
    agent: Option<AgentExit>,
    /// Why the supervisor is ending the run, if it is.
    ending: Option<(Reason, String)>,
    interrupted_by: Option<i32>,
    shim_gone: bool,
    diagnostics_open: bool,
    cell_gone: bool,
    egress_gone: bool,
    farewell: Option<Summary>,
    /// Why heads are no longer signed.
    unsigned: Option<String>,
    replayed: Option<Replayed>,
    live_tools: String,
    pinned: Option<Result<String, String>>,
}

/// Most bytes of a server's list that is looked at.
const MAX_LIVE: usize = 8 * 1024 * 1024;

pub(super) fn serve(ready: Ready) -> Result<Finished, RunError> {
    let mut run = Run {
        ready,
        tools: Vec::new(),
        agent: None,
        ending: None,
        interrupted_by: None,
        shim_gone: false,
        diagnostics_open: true,
        cell_gone: false,
        egress_gone: false,
        farewell: None,
        unsigned: None,
        replayed: None,
        live_tools: String::new(),
        pinned: None,
    };
    // The agent's cell, then what is left in its pipes: every writer is dead, so they end.
    while !run.cell_gone || !run.ready.output.ended() {
        run.turn(run.ready.deadline)?;
    }
    run.ready.scene.clock.mark("agent ended");
    let end = run.end()?;
    run.farewell(&end)?;
    run.finish(end)
}

impl Run {
    /// Waits for something to happen and deals with it.
    fn turn(&mut self, deadline: Instant) -> Result<(), RunError> {
        let ready = self.wait(deadline)?;
        if self.ending.is_none() && !self.cell_gone && Instant::now() >= self.ready.deadline {
            self.kill(Reason::LimitWall, format!("it ran for {} ms", self.ready.scene.request.policy.limits.wall_ms))?;
        }
        // Tools are reaped by index, so the highest first.
        for source in ready.into_iter().rev() {
            self.deal_with(source)?;
        }
        Ok(())
    }

    fn wait(&self, deadline: Instant) -> Result<Vec<Source>, RunError> {
        let mut sources: Vec<(Source, BorrowedFd<'_>, PollFlags)> = Vec::new();
        let input = PollFlags::POLLIN;
        sources.push((Source::Signals, self.ready.scene.signals.as_fd(), input));
        if !self.shim_gone {
            sources.push((Source::Control, self.ready.control.as_fd(), input));
        }
        sources.extend(self.ready.scene.door.sources().map(|(source, fd, events)| (Source::Door(source), fd, events)));
        if self.diagnostics_open {
            sources.push((Source::Diagnostics, self.ready.diagnostics.as_fd(), input));
        }
        let heads = self.ready.scene.heads.as_ref();
        sources.extend(heads.and_then(Heads::fd).map(|fd| (Source::Notary, fd, input)));
        if !self.egress_gone {
            sources.extend(self.ready.egress.as_ref().map(|egress| (Source::Egress, egress.as_fd(), input)));
        }
        if !self.cell_gone {
            sources.push((Source::Cell, self.ready.cell.newborn.pidfd.as_fd(), input));
            let mounts = self.ready.cell.mounts.as_ref().filter(|_| self.ending.is_none());
            sources.extend(mounts.map(|m| (Source::Mounts, m.as_fd(), PollFlags::POLLPRI)));
        }
        for (i, stream) in self.ready.output.streams.iter().enumerate() {
            let [(pipe, readable), (screen, writable)] = stream.wants();
            sources.extend(pipe.map(|fd| (Source::Pipe(i), fd, readable)));
            sources.extend(screen.map(|fd| (Source::Screen(i), fd, writable)));
        }
        for (i, tool) in self.tools.iter().enumerate() {
            sources.push((Source::Tool(i), tool.process.newborn.pidfd.as_fd(), input));
            let mounts = tool.process.mounts.as_ref().filter(|_| self.ending.is_none());
            sources.extend(mounts.map(|m| (Source::ToolMounts(i), m.as_fd(), PollFlags::POLLPRI)));
        }
        let mut fds: Vec<_> = sources.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        // A run that is being ended has only its processes' deaths to wait for.
        let left = if self.ending.is_some() || self.cell_gone { PATIENCE } else { left };
        // Rounded up: a deadline that is not yet over would otherwise spin through its last millisecond.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).doing("wait for", "events of the run"),
        }
        let happened = fds.iter().zip(&sources).filter(|(fd, _)| fd.any().unwrap_or(false));
        Ok(happened.map(|(_, (source, ..))| *source).collect())
    }

    fn deal_with(&mut self, source: Source) -> Result<(), RunError> {
        match source {
            Source::Signals => self.signal(),
            Source::Control => self.hear(),
            Source::Door(source) => self.operator(source),
            Source::Diagnostics => self.relay_diagnostics(),
            Source::Notary => {
                let heard = self.ready.scene.heads.as_mut().map_or(Ok(()), Heads::hear);
                self.unless_unsigned(heard)
            }
            Source::Egress => {
                if self.ready.egress.as_ref().is_none_or(|egress| egress.hear()) {
                    return Ok(());
                }
                self.egress_gone = true;
                if self.cell_gone { Ok(()) } else { self.kill(Reason::Killed, "its egress ended".into()) }
            }
            Source::Cell => {
                self.cell_gone = true;
                self.ready.output.agent_gone();
                Ok(())
            }
            Source::Pipe(i) => {
                self.ready.output.turn(i, true, false);
                Ok(())
            }
            Source::Screen(i) => {
                self.ready.output.turn(i, false, true);
                Ok(())
            }
            Source::Mounts => {
                let gone = self.ready.cell.mounts.as_mut().map(MountWatch::missing).transpose()?.flatten();
                gone.map_or(Ok(()), |place| self.unmasked(&place))
            }
            Source::ToolMounts(i) => {
                let watch = self.tools.get_mut(i).and_then(|tool| tool.process.mounts.as_mut());
                let gone = watch.map(MountWatch::missing).transpose()?.flatten();
                gone.map_or(Ok(()), |place| self.unmasked(&place))
            }
            Source::Tool(i) => {
                let tool = self.tools.swap_remove(i);
                tools::reap(&self.ready.scene, &self.ready.control, tool).or_else(|e| self.unless_shim_gone(e))
            }
        }
    }

    /// Sending to a shim that has just died is not the run's error; its death is dealt with on its own.
    fn unless_shim_gone(&mut self, error: RunError) -> Result<(), RunError> {
        match error {
            RunError::Io { errno: Errno::EPIPE | Errno::ECONNRESET, .. } => Ok(()),
            other => Err(other),
        }
    }

    /// A record that can't be signed is a record that can't be kept: the run ends.
    fn unless_unsigned(&mut self, signed: Result<(), RunError>) -> Result<(), RunError> {
        match signed {
            Err(error) if self.unsigned.is_none() => {
                self.unsigned = Some(error.to_string());
                self.kill(Reason::Killed, error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// What the policy hides can be seen: somebody outside replaced it.
    fn unmasked(&mut self, place: &str) -> Result<(), RunError> {
        let why = format!("{place} was replaced from outside during the run, which uncovers what fs.deny hides");
        self.kill(Reason::Killed, why)
    }

    fn signal(&mut self) -> Result<(), RunError> {
        let Some(signal) = self.ready.scene.signals.next() else { return Ok(()) };
        self.interrupted_by = Some(signal);
        self.kill(Reason::Interrupted, format!("signal {signal}"))
    }

    /// Ends the agent's cell and all tools' cells. The first reason stands.
    fn kill(&mut self, reason: Reason, why: String) -> Result<(), RunError> {
        if self.ending.is_none() {
            self.ending = Some((reason, why));
        }
        end_group(&self.ready.cell.group.v2, PATIENCE)?;
        self.tools.iter().try_for_each(tools::kill)
    }

    fn operator(&mut self, source: operator::Source) -> Result<(), RunError> {
        let Some((number, by, question)) = self.ready.scene.door.serve(source) else { return Ok(()) };
        match question {
            Question::Stop { .. } => {
                // As if the signal had come that asks a program to end.
                self.interrupted_by.get_or_insert(Signal::SIGTERM as i32);
                self.kill(Reason::Interrupted, stopped(&by))?;
                self.ready.scene.door.answer(number, &Answer::Done { what: "stopped: its cells are gone".into() });
                Ok(())
            }
            Question::Order { .. } if self.shim_gone => {
                self.ready.scene.door.answer(number, &Answer::Refused { why: "the run is ending".into() });
                Ok(())
            }
            Question::Order { order, .. } => {
                let order = ToShim::Order { number, order, by };
                self.ready.control.send(&order, &[]).or_else(|e| self.unless_shim_gone(e))
            }
            // Answered at the door.
            Question::Pending | Question::Show { .. } => Ok(()),
        }
    }

    fn hear(&mut self) -> Result<(), RunError> {
        let Some(message) = self.ready.control.receive()? else {
            self.shim_gone = true;
            return self.kill(Reason::Killed, "its shim ended; nothing runs unmediated".into());
        };
        match message {
            ToSupervisor::LaunchTool { cell, exec, argv } => {
                if self.ending.is_none() && !self.cell_gone {
                    let (scene, egress) = (&self.ready.scene, self.ready.egress.as_ref());
                    let launched = tools::launch(scene, &self.ready.control, egress, (cell, &exec, &argv));
                    match launched {
                        Ok(tool) => self.tools.extend(tool),
                        Err(error) => self.unless_shim_gone(error)?,
                    }
                }
                Ok(())
            }
            ToSupervisor::LaunchServer { cell, name } => {
                if self.ending.is_none() && !self.cell_gone {
                    match servers::launch(&self.ready.scene, &self.ready.control, cell, &name) {
                        Ok(server) => self.tools.extend(server),
                        Err(error) => self.unless_shim_gone(error)?,
                    }
                }
                Ok(())
            }
            ToSupervisor::Committed { first, leaves } => {
                let heads = self.ready.scene.heads.as_mut();
                let told = heads.map_or(Ok(()), |heads| heads.committed(first, &leaves));
                self.unless_unsigned(told)
            }
            ToSupervisor::KillTool { cell } => self.tools.iter().filter(|t| t.id == cell).try_for_each(tools::kill),
            ToSupervisor::KillCell { reason } => self.kill(Reason::Killed, reason),
            ToSupervisor::JournalFull { detail } => self.kill(Reason::LimitJournal, detail),
            ToSupervisor::Log { level, message } => {
                let line = (self.ready.scene.request.log)(&level, &message);
                self.ready.output.note(&line);
                Ok(())
            }
            ToSupervisor::AgentExit(exit) => {
                self.agent = Some(exit);
                Ok(())
            }
            ToSupervisor::Asks(pending) => {
                let line = (self.ready.scene.request.log)("approval", &waits(&self.ready.scene.run, &pending));
                self.ready.output.note(&line);
                self.ready.scene.door.asked(pending);
                Ok(())
            }
            ToSupervisor::Settled { approval } => {
                self.ready.scene.door.settled(approval);
                Ok(())
            }
            ToSupervisor::Obeyed { number, outcome } => {
                let answer = match outcome {
                    Ok(what) => Answer::Done { what },
                    Err(why) => Answer::Refused { why },
                };
                self.ready.scene.door.answer(number, &answer);
                Ok(())
            }
            ToSupervisor::Step(step) => {
                if let Course::Replay { show, .. } = &mut self.ready.scene.request.course {
                    show(&step, self.ready.scene.signals.as_fd());
                }
                self.ready.control.send(&ToShim::Go, &[]).or_else(|e| self.unless_shim_gone(e))
            }
            ToSupervisor::Replayed(replayed) => {
                self.replayed = Some(replayed);
                // What the cell would do from here on is on no record.
                end_group(&self.ready.cell.group.v2, PATIENCE)
            }
            ToSupervisor::LiveTools { text } => {
                if self.live_tools.len() + text.len() <= MAX_LIVE {
                    self.live_tools.push_str(&text);
                }
                Ok(())
            }
            ToSupervisor::Pinned { error } => {
                let live = std::mem::take(&mut self.live_tools);
                self.pinned.get_or_insert(error.map_or(Ok(live), Err));
                self.kill(Reason::Finished, "the server's tools were looked at; no agent ran".into())
            }
            ToSupervisor::Bye(summary) => {
                self.farewell = Some(summary);
                Ok(())
            }
            other @ (ToSupervisor::Hello | ToSupervisor::Started | ToSupervisor::CellReady { .. }) => {
                self.kill(Reason::Killed, format!("its shim said {other:?} out of turn"))
            }
        }
    }

    fn relay_diagnostics(&mut self) -> Result<(), RunError> {
        let mut bytes = [0; 4096];
        match self.ready.diagnostics.read(&mut bytes) {
            Ok(0) | Err(_) => self.diagnostics_open = false,
            Ok(len) => {
                let text = String::from_utf8_lossy(bytes.get(..len).unwrap_or_default()).into_owned();
                for line in text.lines().filter(|l| !l.is_empty()) {
                    let line = (self.ready.scene.request.log)("shim", line);
                    self.ready.output.note(&line);
                }
            }
        }
        Ok(())
    }

    /// The cell is gone: why?
    fn end(&mut self) -> Result<RunEnd, RunError> {
        let cell = &mut self.ready.cell;
        if let Some(error) = cell.newborn.exec_failure() {
            return Err(error);
        }
        let events = cell.group.events();
        end_group(&cell.group.v2, PATIENCE)?;
        let waited = waitid(Id::PIDFd(cell.newborn.pidfd.as_fd()), WaitPidFlag::WEXITED).doing("wait for", "cell")?;
        let init = match waited {
            WaitStatus::Exited(_, code) => ExitStatus::Code(code),
            WaitStatus::Signaled(_, signal, _) => ExitStatus::Signal(signal as i32),
            _ => ExitStatus::Signal(nix::libc::SIGKILL),
        };
        // The agent's own account travels through the shim and may still be on its way. A cell that was killed
        // has given none; one that exited by itself has.
        let awaited = self.ready.cell.status.is_none() && matches!(init, ExitStatus::Code(0..=2));
        let deadline = Instant::now() + ACCOUNT;
        // In a replay it is compared with the recorded one where it arrives, and what came of that is told instead.
        while !self.shim_gone && self.agent.is_none() && self.replayed.is_none() {
            let left = if awaited { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            if !self.pending_message(left)? {
                break;
            }
            self.hear()?;
        }
        let cell = &mut self.ready.cell;
        let program = cell.status.as_mut().map(program_status);
        let status = match &program {
            Some(Ok(status)) => *status,
            _ => init,
        };
        let (reason, detail) = match (self.ending.take(), program) {
            (Some(ending), _) => ending,
            (None, Some(program)) => of_native(program, events),
            (None, None) => of_wasm(self.agent.as_ref(), status, events),
        };
        let output = &self.ready.output;
        let [stdout_sha256, stderr_sha256] = output.digests();
        Ok(RunEnd {
            reason,
            status: Some(status),
            detail,
            output_bytes: output.seen,
            output_dropped: output.dropped,
            stdout_sha256,
            stderr_sha256,
        })
    }

    fn pending_message(&self, patience: Duration) -> Result<bool, RunError> {
        let mut fds = [PollFd::new(self.ready.control.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        poll(&mut fds, timeout).map(|n| n > 0).doing("ask", "shim")
    }

    /// Has the shim write its last records.
    fn farewell(&mut self, end: &RunEnd) -> Result<(), RunError> {
        while let Some(tool) = self.tools.pop() {
            tools::kill(&tool)?;
            tools::reap(&self.ready.scene, &self.ready.control, tool).or_else(|e| self.unless_shim_gone(e))?;
        }
        if !self.shim_gone {
            let sent = self.ready.control.send(&ToShim::CellExited { end: end.clone() }, &[]);
            sent.or_else(|e| self.unless_shim_gone(e))?;
        }
        let deadline = Instant::now() + FAREWELL;
        while self.farewell.is_none() && !self.shim_gone && Instant::now() < deadline {
            self.turn(deadline)?;
        }
        end_group(&self.ready.shim.group.v2, if self.farewell.is_some() { Duration::ZERO } else { PATIENCE }).or_else(
            |e| match e {
                // It has said goodbye and is on its way out; the reclaim waits for it.
                RunError::Io { errno: Errno::ETIMEDOUT, .. } => Ok(()),
                other => Err(other),
            },
        )?;
        Ok(())
    }

    fn finish(mut self, mut end: RunEnd) -> Result<Finished, RunError> {
        if let Some(egress) = &self.ready.egress {
            end_group(&egress.process.group.v2, PATIENCE)?;
            let _reaped = waitid(Id::PIDFd(egress.process.newborn.pidfd.as_fd()), WaitPidFlag::WEXITED);
        }
        while self.diagnostics_open {
            self.relay_diagnostics()?;
        }
        let _reaped = waitid(Id::PIDFd(self.ready.shim.newborn.pidfd.as_fd()), WaitPidFlag::WEXITED);
        self.ready.output.finish();
        let recorded = self.farewell.is_some();
        if recorded && self.unsigned.is_none() {
            let signed = self.ready.scene.heads.as_mut().map_or(Ok(()), Heads::finish);
            self.unsigned = signed.err().map(|error| error.to_string());
        }
        if let Some(untold) = self.ready.scene.heads.as_ref().and_then(Heads::untold) {
            (self.ready.scene.request.notice)(&untold);
        }
        let summary = self.farewell.unwrap_or_default();
        let Ready { scene, control, output, deadline, .. } = self.ready;
        drop(control);
        let native = matches!(scene.request.agent, Agent::Native { .. });
        let (run, journal) = (scene.run.clone(), scene.journal.clone());
        let replay = scene.heads.is_none();
        let (clock, signals, unclosed) = scene.strike(recorded)?;
        // All of the run is gone; a reader that does not read holds nothing but this.
        let undelivered = output.deliver(deadline.max(Instant::now() + READER), signals.as_fd());
        if replay {
            // Nothing is recorded.
        } else if !recorded {
            let problem = unclosed.map(|e| format!("; {e}"));
            // The agent ran, so this is no refusal; but without a last record it is no other end either.
            end.detail = format!(
                "{}; its shim did not finish the journal in {}, see stockade journal verify{}",
                end.detail,
                journal.display(),
                problem.unwrap_or_default()
            );
            end.reason = Reason::Killed;
        } else if let Some(why) = self.unsigned.filter(|why| !end.detail.contains(why)) {
            end.detail = format!("{}; its last records are not in the host's log: {why}", end.detail);
            end.reason = Reason::Killed;
        }
        if native {
            self.agent = None;
        }
        end.detail = end.detail.trim().to_owned();
        Ok(Finished {
            run,
            journal,
            end,
            agent: self.agent,
            summary,
            undelivered,
            interrupted_by: self.interrupted_by,
            clock,
            replayed: self.replayed,
            pinned: self.pinned,
        })
    }
}

/// Why a run was stopped, for its record.
fn stopped(by: &Operator) -> String {
    let login = by.login_uid.map(|uid| format!(", logged in as uid {uid}")).unwrap_or_default();
    let note = if by.note.is_empty() { String::new() } else { format!(": {}", by.note) };
    format!("stopped by uid {}{login}{note}", by.uid)
}

/// That a call waits, for the operator's screen.
fn waits(run: &str, pending: &Pending) -> String {
    let Pending { approval, tool, object, .. } = pending;
    format!("{tool} {object} waits; see: stockade approvals show {run}/{approval}")
}
