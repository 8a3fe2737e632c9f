//! A replay: the cell is answered from a recorded journal, and the first thing that it does otherwise ends it.
//!
//! Nothing is decided, done or recorded here. The journal is mounted for reading alone, there is no workspace, and the
//! cell is the one that a run has, with all its layers.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use stockade_policy::Bundle;
use stockade_wire::control::{
    AgentExit, Divergence, Replay, ReplayEnd, Replayed, RunEnd, Step as Told, Summary, ToShim, ToSupervisor,
};
use stockade_wire::frame::{FrameError, FromCell, Level, Status};

use crate::answer::status_name;
use crate::channel::{Arrival, Channel};
use crate::control::Control;
use crate::error::ShimError;
use crate::json::parse;
use crate::logs::{LogBudget, cut, level_name};
use crate::mediator::call::over_limit;
use crate::mediator::{MAX_DETAIL, OVER_SHOWN};
use crate::notify::{Watch, deny_unrecorded};
use crate::recall::{Act, answer, differs, of_step, shown};
use crate::script::{Script, ScriptError, Step};

/// Time the supervisor has to take the last messages.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that waits for the operator.
type Held = Option<(u64, Status, Vec<u8>)>;

struct Player {
    control: Control,
    channel: Option<Channel>,
    script: Script,
    orders: Replay,
    watches: Vec<Watch>,
    logs: LogBudget,
    allowed: u64,
    /// Calls, and those of them over `limits.calls`.
    asked: u64,
    over: u64,
    started: bool,
    /// Said to the operator, who has not said to go on.
    held: Option<Held>,
    /// What was the same.
    calls: u64,
    lines: u64,
    fuel: u64,
    told: bool,
}

/// Replays one run, from the setup message that came to the last message.
///
/// # Errors
/// [`ShimError`]
pub(crate) fn run(
    mut control: Control,
    cell: OwnedFd,
    journal: OwnedFd,
    bundle: &Bundle,
    orders: Replay,
) -> Result<(), ShimError> {
    let script = Script::open(journal, None).map_err(|error| ShimError::Setup(error.to_string()))?;
    control.send(&ToSupervisor::Hello)?;
    let player = Player {
        control,
        channel: Some(Channel::new(cell)),
        script,
        orders,
        watches: Vec::new(),
        logs: LogBudget::new(bundle.output),
        allowed: bundle.calls,
        asked: 0,
        over: 0,
        started: false,
        held: None,
        calls: 0,
        lines: 0,
        fuel: 0,
        told: false,
    };
    player.run()
}

impl Player {
    fn run(mut self) -> Result<(), ShimError> {
        let end = loop {
            self.wait()?;
            self.refuse_syscalls()?;
            if let Some(end) = self.serve_control()? {
                break end;
            }
            self.serve_cell()?;
        };
        self.cell_gone(&end)?;
        self.control.send(&ToSupervisor::Bye(Summary { calls: self.calls, ..Summary::default() }))?;
        let deadline = Instant::now() + PATIENCE;
        while self.control.congested() && Instant::now() < deadline {
            self.wait()?;
            self.control.flush()?;
        }
        Ok(())
    }

    fn listens(&self) -> bool {
        self.held.is_none() && !self.control.congested()
    }

    fn wait(&self) -> Result<(), ShimError> {
        let out = if self.control.congested() { PollFlags::POLLOUT } else { PollFlags::empty() };
        let mut fds = vec![PollFd::new(self.control.fd(), PollFlags::POLLIN | out)];
        match &self.channel {
            Some(channel) if channel.congested() => fds.push(PollFd::new(channel.fd(), PollFlags::POLLOUT)),
            Some(channel) if self.listens() => fds.push(PollFd::new(channel.fd(), PollFlags::POLLIN)),
            _ => {}
        }
        fds.extend(self.watches.iter().map(|watch| PollFd::new(watch.fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(ShimError::Os { what: "poll", errno }),
        }
    }

    /// System calls that the filter hands over are refused, as they were; an agent learns nothing of them.
    fn refuse_syscalls(&mut self) -> Result<(), ShimError> {
        for watch in &mut self.watches {
            let mut fds = [PollFd::new(watch.fd(), PollFlags::POLLIN)];
            let happened = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0);
            let [fd] = fds;
            match fd.revents().filter(|_| happened) {
                Some(events) if events.contains(PollFlags::POLLIN) => deny_unrecorded(watch)?,
                Some(_) => watch.finish(),
                None => {}
            }
        }
        self.watches.retain(|watch| !watch.is_done());
        Ok(())
    }

    fn serve_control(&mut self) -> Result<Option<RunEnd>, ShimError> {
        self.control.flush()?;
        while let Some(received) = self.control.receive()? {
            match received.message {
                ToShim::Listener { cell } => {
                    self.watches.extend(received.rights.into_iter().map(|listener| Watch::new(cell, listener)));
                }
                ToShim::Attested { .. } if !self.started => {
                    self.started = true;
                    self.control.send(&ToSupervisor::Started)?;
                    let started = self.channel.as_mut().map(Channel::start);
                    self.sent(started.unwrap_or(Ok(())))?;
                    self.look_ahead()?;
                }
                ToShim::Go if self.held.is_some() => self.go_on()?,
                ToShim::CellExited { end } => return Ok(Some(end)),
                other => return Err(ShimError::Protocol(format!("{other:?} has no place in a replay"))),
            }
        }
        Ok(None)
    }

    fn serve_cell(&mut self) -> Result<(), ShimError> {
        let Some(channel) = &mut self.channel else { return Ok(()) };
        if channel.congested() {
            let flushed = channel.flush();
            return self.sent(flushed);
        }
        if !self.listens() {
            return Ok(());
        }
        match self.channel.as_mut().map(Channel::read) {
            Some(Ok(Arrival::Closed)) => self.channel = None,
            Some(Err(breach)) => return self.diverged_at_next("end", json!({ "breach": breach.to_string() })),
            _ => {}
        }
        while self.listens() {
            let frame = match self.channel.as_mut().map(Channel::next_frame) {
                None | Some(Ok(None)) => break,
                Some(Ok(Some(frame))) => frame,
                Some(Err(breach)) => return self.diverged_at_next("end", json!({ "breach": breach.to_string() })),
            };
            self.serve_frame(frame)?;
        }
        Ok(())
    }

    fn serve_frame(&mut self, frame: FromCell) -> Result<(), ShimError> {
        match frame {
            FromCell::Ready { report } => match parse(&report) {
                Ok(report) => Ok(self.control.send(&ToSupervisor::CellReady { report })?),
                Err(problem) => Err(ShimError::Protocol(format!("the cell's report: {problem}"))),
            },
            FromCell::Call { id, fuel, tool, args } => self.call(id, fuel, &tool, &args),
            FromCell::Log { level, message } => self.log(level, message),
            FromCell::Exit { outcome } => {
                let exit = parse(&outcome)
                    .and_then(|value| serde_json::from_value::<AgentExit>(value).map_err(|error| error.to_string()));
                match exit {
                    Ok(exit) => self.exit(exit),
                    Err(problem) => self.diverged_at_next("end", json!({ "breach": problem })),
                }
            }
        }
    }

    fn call(&mut self, id: u64, fuel: u64, tool: &str, text: &[u8]) -> Result<(), ShimError> {
        self.fuel = fuel;
        let over = self.asked >= self.allowed;
        if over && self.over >= OVER_SHOWN {
            // Counted and not recorded, then as now.
            let answer = over_limit(self.allowed);
            return self.reply(Some((id, answer.status, answer.into_text())));
        }
        *(if over { &mut self.over } else { &mut self.asked }) += 1;
        let fuel = (!self.orders.other).then_some(fuel);
        if !self.matches(Act::Call { id, fuel, tool, text, over })? {
            return Ok(());
        }
        let answered = match self.script.peek() {
            Ok(Step::Call(asked)) => match asked.outcome.clone() {
                Some(outcome) => {
                    let seq = asked.seq;
                    answer(&self.script, seq, &outcome).map(|(status, body)| Some((id, status, body)))
                }
                None => Ok(None),
            },
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        match answered {
            Err(error) => self.broken(&error),
            Ok(None) => {
                // It was asked and never answered.
                self.calls += 1;
                self.script.pass();
                self.stop_short()
            }
            Ok(Some(reply)) => {
                self.calls += 1;
                let what = self.script.peek().map(of_step);
                let seq = self.script.peek().map(Step::seq);
                self.script.pass();
                let (Ok(mut what), Ok(seq)) = (what, seq) else { return Ok(()) };
                if self.orders.step {
                    let body = serde_json::from_slice(&reply.2).unwrap_or_default();
                    if let Some(map) = what.as_object_mut() {
                        map.insert("answer".to_owned(), json!({ "status": status_name(reply.1), "body": shown(body) }));
                    }
                }
                self.step(seq, what, Some(reply))
            }
        }
    }

    fn log(&mut self, level: Level, message: String) -> Result<(), ShimError> {
        let Some(kept) = self.logs.admit(message) else { return Ok(()) };
        let level = level_name(level);
        if !self.matches(Act::Log { level, message: &kept.message, dropped: kept.dropped })? {
            return Ok(());
        }
        self.lines += 1;
        let what = self.script.peek().map(|step| (step.seq(), of_step(step)));
        self.script.pass();
        match what {
            Ok((seq, what)) => self.step(seq, what, None),
            Err(error) => self.broken(&error),
        }
    }

    fn exit(&mut self, mut exit: AgentExit) -> Result<(), ShimError> {
        cut(&mut exit.detail, MAX_DETAIL);
        self.fuel = exit.fuel;
        if !self.matches(Act::Exit { exit: &exit, fuel: !self.orders.other })? {
            return Ok(());
        }
        self.tell(ReplayEnd::Identical)
    }

    /// Whether the agent does what is recorded next; if not, the replay is over.
    fn matches(&mut self, act: Act<'_>) -> Result<bool, ShimError> {
        if self.told {
            return Ok(false);
        }
        if self.reached()? {
            return Ok(false);
        }
        let found = match self.script.peek() {
            Err(error) => return self.broken(&error).map(|()| false),
            Ok(Step::End { .. }) => return self.stop_short().map(|()| false),
            Ok(step) => differs(step, act),
        };
        match found {
            None => Ok(true),
            Some(divergence) => self.tell(ReplayEnd::Diverged(divergence)).map(|()| false),
        }
    }

    /// Whether the record that was asked for has been passed, which ends the replay.
    fn reached(&mut self) -> Result<bool, ShimError> {
        let Some(until) = self.orders.until else { return Ok(false) };
        match self.script.peek() {
            Ok(step) if step.seq() > until => self.tell(ReplayEnd::Until { seq: until }).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Ends the replay where nothing more is recorded: what the agent would do is not to be had.
    fn look_ahead(&mut self) -> Result<(), ShimError> {
        if self.told || self.reached()? {
            return Ok(());
        }
        match self.script.peek() {
            Ok(Step::End { .. }) => self.stop_short(),
            Ok(_) => Ok(()),
            Err(error) => self.broken(&error),
        }
    }

    fn stop_short(&mut self) -> Result<(), ShimError> {
        match self.script.peek() {
            Ok(Step::End { seq, because }) => {
                let end = ReplayEnd::Short { seq: *seq, because: because.clone() };
                self.tell(end)
            }
            Ok(step) => {
                let (seq, what) = (step.seq(), "the record before it has no result".to_owned());
                self.broken(&ScriptError::Order { seq, what })
            }
            Err(error) => self.broken(&error),
        }
    }

    /// Tells of a step, if somebody wants to see each, and goes on.
    fn step(&mut self, seq: u64, what: serde_json::Value, reply: Held) -> Result<(), ShimError> {
        if self.orders.step {
            self.held = Some(reply);
            return Ok(self.control.send(&ToSupervisor::Step(Told { seq, what }))?);
        }
        self.reply(reply)?;
        self.look_ahead()
    }

    fn go_on(&mut self) -> Result<(), ShimError> {
        let reply = self.held.take().flatten();
        self.reply(reply)?;
        self.look_ahead()
    }

    fn reply(&mut self, reply: Held) -> Result<(), ShimError> {
        let (Some((id, status, body)), Some(channel)) = (reply, &mut self.channel) else { return Ok(()) };
        let sent = channel.reply(id, status, true, body);
        self.sent(sent)
    }

    /// A cell that is gone is told of by the supervisor.
    fn sent(&mut self, sent: Result<(), FrameError>) -> Result<(), ShimError> {
        match sent {
            Ok(()) => Ok(()),
            Err(FrameError::Closed) => {
                self.channel = None;
                Ok(())
            }
            Err(error) => Err(ShimError::Protocol(error.to_string())),
        }
    }

    /// The cell is gone. If that is news, it is what differs.
    fn cell_gone(&mut self, end: &RunEnd) -> Result<(), ShimError> {
        self.channel = None;
        match self.told {
            true => Ok(()),
            false => self.diverged_at_next("end", json!({ "reason": end.reason, "detail": end.detail })),
        }
    }

    fn diverged_at_next(&mut self, what: &str, now: serde_json::Value) -> Result<(), ShimError> {
        let end = match self.script.peek() {
            Err(error) => unreadable(&error),
            Ok(Step::End { seq, because }) => ReplayEnd::Short { seq: *seq, because: because.clone() },
            Ok(step) => ReplayEnd::Diverged(Divergence {
                seq: step.seq(),
                what: what.to_owned(),
                recorded: of_step(step),
                now: shown(now),
            }),
        };
        self.tell(end)
    }

    fn broken(&mut self, error: &ScriptError) -> Result<(), ShimError> {
        self.tell(unreadable(error))
    }

    /// The replay is over, once.
    fn tell(&mut self, mut end: ReplayEnd) -> Result<(), ShimError> {
        if self.told {
            return Ok(());
        }
        self.told = true;
        self.channel = None;
        self.held = None;
        // What follows the last step is read, too: a journal is not the same if it breaks there.
        let recorded_end = match &end {
            ReplayEnd::Identical | ReplayEnd::Short { .. } => self.script.end().unwrap_or_else(|error| {
                end = ReplayEnd::Broken { error: error.to_string() };
                None
            }),
            _ => None,
        };
        let (calls, logs, fuel) = (self.calls, self.lines, self.fuel);
        Ok(self.control.send(&ToSupervisor::Replayed(Replayed { calls, logs, fuel, end, recorded_end }))?)
    }
}

/// The end of a replay that cannot read on. A record that is whole and tells no more is as far as anybody gets.
fn unreadable(error: &ScriptError) -> ReplayEnd {
    match error {
        ScriptError::Gone { seq, what } => ReplayEnd::Short { seq: *seq, because: what.clone() },
        other => ReplayEnd::Broken { error: other.to_string() },
    }
}
