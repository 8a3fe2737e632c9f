//! The mediator: its state and its loop.

mod agents;
mod approval;
pub(crate) mod call;
mod cell;
mod egress;
mod finish;
mod flight;
mod orders;
mod resume;
mod servers;
mod supervisor;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use serde_json::json;
use stockade_journal::{JournalError, Record, Writer, recover};
use stockade_policy::bundle::MIN_JOURNAL;
use stockade_policy::{Decider, Rates};
use stockade_wire::control::{CellId, Course, RunEnd, Setup, ToSupervisor};

use crate::channel::Channel;
use crate::control::Control;
use crate::doors::{self, Doors};
use crate::egress::Desk;
use crate::error::ShimError;
use crate::exec::{Due, ToolRun};
use crate::ledger::{Ledger, NoRoom};
use crate::logs::LogBudget;
use crate::notify::{Fold, Watch};
use crate::replay;
use crate::script::Script;
use crate::workspace::Workspace;
use agents::Agents;
use approval::Approvals;
use flight::Flights;
use servers::Servers;
use wait::Source;

pub(crate) use call::OVER_SHOWN;
pub(crate) use cell::MAX_DETAIL;

/// Time the supervisor has to end a cell that was condemned.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// Time a cell has to end once its channel is closed. A cell without a channel can do nothing, so
/// this only keeps it from idling until the wall limit.
const CLOSED_PATIENCE: Duration = Duration::from_secs(5);

/// All that a shim knows.
struct Mediator {
    control: Control,
    ledger: Ledger,
    decider: Decider,
    setup: Setup,
    workspace: Option<Workspace>,
    /// The wasm cell's channel while it is open.
    channel: Option<Channel>,
    /// Whole frames may be waiting in the channel's buffer.
    backlog: bool,
    watches: Vec<Watch>,
    fold: Fold,
    logs: LogBudget,
    flights: Flights,
    approvals: Approvals,
    /// Names that the operator froze.
    frozen: BTreeSet<String>,
    tools: BTreeMap<CellId, ToolRun>,
    servers: Servers,
    agents: Agents,
    /// The last call whose id was given here.
    last_call: u64,
    next_cell: CellId,
    /// The conversation with egress, if the run has one.
    egress: Option<Desk>,
    calls: Calls,
    /// What a run before did, until the agent has done it again.
    script: Option<Script>,
    /// What moments of `rates` are counted from, and how long the run had lasted then.
    born: Instant,
    before: Duration,
    rates: Rates,
    /// The `start` record is durable and the supervisor knows.
    started: bool,
    /// The agent's cell must be gone by then.
    condemned: Option<Instant>,
    /// The channel is closed; the cell is condemned then.
    closed: Option<Instant>,
}

/// Counts of calls.
#[derive(Debug, Default)]
struct Calls {
    decided: u64,
    denied: u64,
    /// Calls beyond the policy's number, and how many of them have no record of their own.
    over: u64,
    over_unrecorded: u64,
    /// Ids of calls whose answer will be recorded as private.
    private: BTreeSet<u64>,
}

/// Serves one run, from the setup message to the last record. [`unotify::check_sizes`] must have
/// succeeded before.
///
/// [`unotify::check_sizes`]: crate::sys::unotify::check_sizes
///
/// # Errors
/// [`ShimError`]; [`ShimError::exit_code`] is the process's.
pub fn run(doors: Doors) -> Result<(), ShimError> {
    let mut control = Control::new(doors.control);
    let (setup, bundle) = doors::receive_setup(&mut control)?;
    match (setup.kind.as_str(), &doors.cell) {
        ("wasm", Some(_)) | ("native", None) => {}
        ("wasm", None) => return Err(missing_cell()),
        ("native", Some(_)) => {
            let problem = "a native agent has no cell channel".to_owned();
            return Err(ShimError::Descriptor { fd: doors::CELL_FD, problem });
        }
        (other, _) => return Err(ShimError::Setup(format!("unknown kind {other:?}; known are wasm and native"))),
    }
    if let Course::Replayed(orders) = setup.course {
        let cell = doors.cell.ok_or_else(|| ShimError::Setup("only wasm agents are replayed".to_owned()))?;
        return replay::run(control, cell, doors.journal, &bundle, orders);
    }
    let decider = Decider::new(bundle).map_err(|e| ShimError::Setup(format!("policy bundle: {e}")))?;
    let workspace = doors.workspace.map(|root| Workspace::new(root, decider.bundle())).transpose();
    let workspace = workspace.map_err(ShimError::Setup)?;
    if workspace.is_none() && !setup.workspace.is_empty() {
        return Err(ShimError::Setup(format!(
            "the run has the workspace {:?}, but it is not mounted",
            setup.workspace
        )));
    }
    let (journal, output) = (decider.bundle().journal, decider.bundle().output);
    if journal < MIN_JOURNAL {
        return Err(ShimError::Setup(format!("limits.journal of {journal} bytes; at least {MIN_JOURNAL}")));
    }
    let (writer, script) = match setup.course {
        Course::Resumed => {
            let copy = doors.journal.try_clone();
            let copy = copy.map_err(|e| ShimError::Os { what: "dup", errno: resume::errno(&e) })?;
            let writer = recover(doors.journal)?.writer;
            let script = Script::open(copy, Some(writer.head().0)).map_err(JournalError::Damaged)?;
            (writer, Some(script))
        }
        Course::New | Course::Replayed(_) => (Writer::create(doors.journal)?, None),
    };
    let mut agents = Agents::default();
    doors.agent.into_iter().for_each(|socket| agents.admit(socket));
    let servers = Servers::new(decider.servers());
    let ledger = Ledger::new(writer, journal);
    let logs = LogBudget::new(output);
    control.send(&ToSupervisor::Hello)?;
    let frozen = setup.frozen.iter().cloned().collect();
    let mediator = Mediator {
        control,
        ledger,
        decider,
        setup,
        workspace,
        channel: doors.cell.map(Channel::new),
        backlog: false,
        watches: Vec::new(),
        fold: Fold::default(),
        logs,
        flights: Flights::default(),
        approvals: Approvals::default(),
        frozen,
        tools: BTreeMap::new(),
        servers,
        agents,
        last_call: 0,
        next_cell: 1,
        egress: doors.egress.map(Desk::new),
        calls: Calls::default(),
        script,
        born: Instant::now(),
        before: Duration::ZERO,
        rates: Rates::default(),
        started: false,
        condemned: None,
        closed: None,
    };
    mediator.run()
}

fn missing_cell() -> ShimError {
    ShimError::Descriptor { fd: doors::CELL_FD, problem: "not open; a wasm agent needs its cell channel".to_owned() }
}

impl Mediator {
    fn run(mut self) -> Result<(), ShimError> {
        match self.serve().and_then(|end| self.finish(&end)) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.give_up(&error);
                Err(error)
            }
        }
    }

    /// Serves until the agent's cell is gone.
    fn serve(&mut self) -> Result<RunEnd, ShimError> {
        loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(end)) => return Ok(end),
                // The call that was to be announced does not happen.
                Err(ShimError::Journal(full @ (JournalError::Full { .. } | JournalError::NoSpace { .. }))) => {
                    let full = self.ledger.no_room(&full);
                    self.no_room(full)?;
                }
                Err(error) => return Err(error),
            }
            if let Some(full) = self.ledger.take_full() {
                self.no_room(full)?;
            }
        }
    }

    /// Serves what is there to be served, once.
    fn turn(&mut self) -> Result<Option<RunEnd>, ShimError> {
        for (source, events) in self.wait()? {
            match source {
                Source::Watch(index) => self.serve_watch(index, events)?,
                Source::Tool(cell) => {
                    if let Some(tool) = self.tools.get_mut(&cell) {
                        tool.drain();
                    }
                }
                Source::Server(cell) => self.serve_link(cell)?,
                Source::Agent(session) => self.serve_agent(session, events)?,
                Source::Cell => self.serve_cell(events)?,
                Source::Egress => self.serve_egress(events)?,
                Source::Control => {
                    if let Some(end) = self.serve_control()? {
                        return Ok(Some(end));
                    }
                }
            }
        }
        self.watches.retain(|watch| !watch.is_done());
        self.unpark()?;
        if self.backlog {
            self.serve_frames()?;
        }
        self.tick(Instant::now())?;
        Ok(None)
    }

    fn serve_watch(&mut self, index: usize, events: PollFlags) -> Result<(), ShimError> {
        let Some(cell) = self.watches.get(index).map(|watch| watch.cell) else { return Ok(()) };
        let call = self.caused_by(cell);
        let Some(watch) = self.watches.get_mut(index) else { return Ok(()) };
        if events.contains(PollFlags::POLLIN) {
            watch.serve(call, &mut self.fold, &mut self.ledger)
        } else {
            // Hung up: no process is left under this filter.
            watch.finish();
            Ok(())
        }
    }

    /// A number for a cell that is asked for; none is used twice.
    fn new_cell(&mut self) -> Result<CellId, ShimError> {
        let cell = self.next_cell;
        self.next_cell =
            cell.checked_add(1).ok_or_else(|| ShimError::Protocol("cell numbers are used up".to_owned()))?;
        Ok(cell)
    }

    /// The call under which a cell does what it does.
    fn caused_by(&self, cell: CellId) -> Option<u64> {
        match self.tools.get(&cell) {
            Some(tool) => Some(tool.call),
            None if self.servers.is_cell(cell) => self.servers.only_call(cell),
            None => self.flights.only(),
        }
    }

    fn tick(&mut self, now: Instant) -> Result<(), ShimError> {
        for line in self.fold.due(now) {
            self.ledger.append(Record::Syscall(line))?;
        }
        self.ledger.settle(now)?;
        while let Some((first, leaves)) = self.ledger.heads.due(now) {
            self.control.send(&ToSupervisor::Committed { first, leaves })?;
        }
        for (cell, tool) in &mut self.tools {
            match tool.tick(now) {
                Due::Nothing => {}
                Due::Kill => self.control.send(&ToSupervisor::KillTool { cell: *cell })?,
                Due::Hopeless => {
                    return Err(ShimError::Protocol(format!("tool cell {cell} was to be killed and is not gone")));
                }
            }
        }
        self.expire(now)?;
        self.tick_servers(now)?;
        if self.condemned.is_some_and(|due| due <= now) {
            return Err(ShimError::Protocol("the agent's cell was to be killed and is not gone".to_owned()));
        }
        if self.closed.is_some_and(|due| due <= now) {
            self.condemn("the cell closed its channel and did not end")?;
        }
        Ok(())
    }

    /// Tells of every durable record, due or not.
    fn tell_heads(&mut self) -> Result<(), ShimError> {
        while let Some((first, leaves)) = self.ledger.heads.take() {
            self.control.send(&ToSupervisor::Committed { first, leaves })?;
        }
        Ok(())
    }

    /// Ends the run: what cannot be recorded must not happen, and there is room only for its end.
    fn no_room(&mut self, full: NoRoom) -> Result<(), ShimError> {
        self.ledger.close();
        match full {
            NoRoom::Limit(detail) => {
                let reason = detail.clone();
                self.end_run(&reason, &ToSupervisor::JournalFull { detail })
            }
            NoRoom::Disk(reason) => self.condemn(&reason),
        }
    }

    /// Ends the run: no more effects, a durable record of why, and the supervisor kills the cell.
    fn condemn(&mut self, reason: &str) -> Result<(), ShimError> {
        self.end_run(reason, &ToSupervisor::KillCell { reason: reason.to_owned() })
    }

    /// Ends the run, once; `told` is what the supervisor hears of it.
    fn end_run(&mut self, reason: &str, told: &ToSupervisor) -> Result<(), ShimError> {
        self.channel = None;
        self.agents.close();
        self.closed = None;
        self.backlog = false;
        if self.condemned.is_some() {
            return Ok(());
        }
        self.condemned = Some(Instant::now() + KILL_PATIENCE);
        // Before `start` this is as far as the run gets; after it nothing is held back.
        self.ledger.open()?;
        self.ledger.lifecycle("killed", json!({ "reason": reason }))?;
        self.ledger.commit()?;
        for cell in self.tools.keys().copied().chain(self.servers.cells()) {
            self.control.send(&ToSupervisor::KillTool { cell })?;
        }
        self.control.send(told)?;
        Ok(())
    }
}
