//! MCP servers: each in a cell of its own, asked for at its first need, and asked nothing that was not decided.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockade_policy::mcp::{McpServer, McpTool, drift};
use stockade_policy::{Denial, Verdict};
use stockade_wire::control::{CellId, ExitStatus, ToSupervisor};
use stockade_wire::frame::Status;

use super::Mediator;
use super::call::{Asked, bounded, facts};
use super::flight::Origin;
use crate::answer::Answer;
use crate::error::ShimError;
use crate::exec::PATIENCE;
use crate::json::parse_result;
use crate::mcp::client::Event;
use crate::mcp::link::Link;
use crate::mcp::wire::PeerError;

/// Servers that one run may have: the policy's reader takes no more.
pub(super) const MAX_SERVERS: usize = stockade_policy::bundle::MAX_SERVERS;
/// Starts of one server in one run.
const MAX_STARTS: u32 = 3;
/// Time a server has for its handshake and its list.
const SETTLING: Duration = Duration::from_secs(60);
/// Longest call, if the policy says nothing, in milliseconds.
const CALL_MS: u64 = 60_000;
/// Characters of a list in one message to the supervisor.
const PIECE: usize = 16 * 1024;
/// Calls that may wait for servers to settle.
const MAX_PARKED: usize = 128;

/// All servers of the policy, by name.
#[derive(Debug, Default)]
pub(super) struct Servers {
    by_name: BTreeMap<String, Server>,
    parked: Vec<Parked>,
    /// One has settled or ended: what waits is to be looked at.
    stirred: bool,
}

#[derive(Debug)]
struct Server {
    state: State,
    starts: u32,
    /// Calls it was asked, with when each is given up.
    calls: BTreeMap<u64, Instant>,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The supervisor was asked.
    Launching {
        cell: CellId,
        due: Instant,
    },
    /// It has not shown its tools yet.
    Settling {
        cell: CellId,
        link: Box<Link>,
        due: Instant,
    },
    Ready {
        cell: CellId,
        link: Box<Link>,
        standing: Standing,
    },
    /// It is to be killed; why.
    Ending {
        cell: CellId,
        why: String,
        due: Instant,
    },
    /// It is not started again; why.
    Broken(String),
}

/// What a live list is to the approved one.
#[derive(Debug, Default)]
struct Standing {
    /// Approved tools that are others now, or gone, and how.
    drifted: BTreeMap<String, Vec<String>>,
    /// Tools that nobody approved.
    added: BTreeMap<String, Vec<String>>,
}

/// A call that waits for servers to settle before it is looked at.
#[derive(Debug)]
struct Parked {
    id: u64,
    origin: Origin,
    fuel: Option<u64>,
    tool: String,
    text: Vec<u8>,
}

impl Servers {
    /// None of them runs.
    pub(super) fn new(approved: &[McpServer]) -> Self {
        let idle = || Server { state: State::Idle, starts: 0, calls: BTreeMap::new() };
        let by_name = approved.iter().map(|server| (server.name().to_owned(), idle())).collect();
        Self { by_name, ..Self::default() }
    }

    /// The links to poll, with their cells.
    pub(super) fn links(&self) -> impl Iterator<Item = (CellId, &Link)> {
        self.by_name.values().filter_map(|server| match &server.state {
            State::Settling { cell, link, .. } | State::Ready { cell, link, .. } => Some((*cell, link.as_ref())),
            _ => None,
        })
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let of = |server: &Server| {
            let state = match server.state {
                State::Launching { due, .. } | State::Settling { due, .. } | State::Ending { due, .. } => Some(due),
                State::Idle | State::Ready { .. } | State::Broken(_) => None,
            };
            state.into_iter().chain(server.calls.values().copied()).min()
        };
        self.by_name.values().filter_map(of).min()
    }

    /// Cells of servers, for whoever ends them.
    pub(super) fn cells(&self) -> impl Iterator<Item = CellId> {
        self.by_name.values().filter_map(|server| server.state.cell())
    }

    /// Whether a cell is a server's.
    pub(super) fn is_cell(&self, cell: CellId) -> bool {
        self.cells().any(|known| known == cell)
    }

    /// The one call that a server's cell serves; none if there are several.
    pub(super) fn only_call(&self, cell: CellId) -> Option<u64> {
        let server = self.by_name.values().find(|server| server.state.cell() == Some(cell))?;
        let mut calls = server.calls.keys();
        calls.next().filter(|_| calls.next().is_none()).copied()
    }

    /// Whether a tool is there as it was approved.
    pub(super) fn lives(&self, server: &str, tool: &str) -> bool {
        self.standing(server).is_some_and(|standing| !standing.drifted.contains_key(tool))
    }

    fn standing(&self, server: &str) -> Option<&Standing> {
        match &self.by_name.get(server)?.state {
            State::Ready { standing, .. } => Some(standing),
            _ => None,
        }
    }

    fn name_of(&self, cell: CellId) -> Option<String> {
        let found = self.by_name.iter().find(|(_, server)| server.state.cell() == Some(cell));
        found.map(|(name, _)| name.clone())
    }
}

impl State {
    fn cell(&self) -> Option<CellId> {
        match self {
            Self::Launching { cell, .. }
            | Self::Settling { cell, .. }
            | Self::Ready { cell, .. }
            | Self::Ending { cell, .. } => Some(*cell),
            Self::Idle | Self::Broken(_) => None,
        }
    }

    /// It will show what tools it has, or that it has none.
    fn unsettled(&self) -> bool {
        matches!(self, Self::Idle | Self::Launching { .. } | Self::Settling { .. } | Self::Ending { .. })
    }
}

impl Mediator {
    /// Has a call wait until the servers that it is about have shown their tools; whether it does.
    pub(super) fn park(&mut self, asked: &Asked<'_>) -> Result<bool, ShimError> {
        // What is answered from the journal needs no server; and what ends needs nothing more.
        if self.script.is_some() || self.condemned.is_some() || self.servers.by_name.is_empty() {
            return Ok(false);
        }
        let needed = self.needed(asked);
        if needed.is_empty() || self.servers.parked.len() >= MAX_PARKED {
            return Ok(false);
        }
        for name in needed {
            self.start_server(&name)?;
        }
        let Asked { id, origin, fuel, tool, text } = *asked;
        self.servers.parked.push(Parked { id, origin, fuel, tool: tool.to_owned(), text: text.to_vec() });
        Ok(true)
    }

    /// Servers that a call is about and that have not shown their tools.
    fn needed(&self, asked: &Asked<'_>) -> Vec<String> {
        let unsettled = |name: &str| self.servers.by_name.get(name).is_some_and(|server| server.state.unsettled());
        if asked.tool == stockade_policy::Tool::Tools.name() {
            let offers =
                |server: &&McpServer| server.tools().iter().any(|tool| self.decider.could_call(&server.action(tool)));
            let servers = self.decider.servers().iter().filter(offers);
            return servers.map(|server| server.name().to_owned()).filter(|name| unsettled(name)).collect();
        }
        let Some((server, _)) = self.decider.served(asked.tool) else { return Vec::new() };
        let name = server.name();
        // A server is not started for a call that is denied.
        if unsettled(name) && bounded(asked.text).is_ok_and(|args| self.could_be(asked.tool, &args)) {
            return vec![name.to_owned()];
        }
        Vec::new()
    }

    fn could_be(&self, tool: &str, args: &Value) -> bool {
        let request = stockade_policy::Request { tool, args, facts: facts() };
        !matches!(self.decider.decide(&request), Verdict::Deny(_))
    }

    /// Looks again at what waits.
    pub(super) fn unpark(&mut self) -> Result<(), ShimError> {
        if !std::mem::take(&mut self.servers.stirred) {
            return Ok(());
        }
        for Parked { id, origin, fuel, tool, text } in std::mem::take(&mut self.servers.parked) {
            self.call(&Asked { id, origin, fuel, tool: &tool, text: &text })?;
        }
        Ok(())
    }

    /// A request is not waited for any more: it is not looked at again.
    pub(super) fn forget_parked(&mut self, origin: Origin) {
        self.servers.parked.retain(|parked| parked.origin != origin);
    }

    pub(super) fn start_server(&mut self, name: &str) -> Result<(), ShimError> {
        if !self.servers.by_name.get(name).is_some_and(|server| matches!(server.state, State::Idle)) {
            return Ok(());
        }
        let cell = self.new_cell()?;
        let Some(server) = self.servers.by_name.get_mut(name) else { return Ok(()) };
        server.starts += 1;
        server.state = State::Launching { cell, due: Instant::now() + PATIENCE };
        // A server may act on its own: that it is started outlives a crash.
        self.ledger.lifecycle("mcp_starting", json!({ "server": name, "cell": cell, "start": server.starts }))?;
        self.ledger.commit()?;
        Ok(self.control.send(&ToSupervisor::LaunchServer { cell, name: name.to_owned() })?)
    }

    pub(super) fn server_started(
        &mut self,
        cell: CellId,
        enforcement: Value,
        pipes: [OwnedFd; 3],
    ) -> Result<(), ShimError> {
        let Some(name) = self.servers.name_of(cell) else {
            return Err(ShimError::Protocol("`server_started` for a cell that was not asked for".to_owned()));
        };
        self.ledger.lifecycle("mcp_started", json!({ "server": name, "cell": cell, "enforcement": enforcement }))?;
        let Some(server) = self.servers.by_name.get_mut(&name) else { return Ok(()) };
        // One that took too long is being killed.
        if let State::Launching { .. } = server.state {
            let mut link = Link::begin(pipes).map_err(|errno| ShimError::Os { what: "fcntl(F_SETFL)", errno })?;
            link.flush();
            server.state = State::Settling { cell, link: Box::new(link), due: Instant::now() + SETTLING };
        }
        Ok(())
    }

    pub(super) fn server_refused(&mut self, cell: CellId, error: &str) -> Result<(), ShimError> {
        let Some(name) = self.servers.name_of(cell) else { return Ok(()) };
        self.ledger.lifecycle("mcp_refused", json!({ "server": name, "cell": cell, "error": error }))?;
        self.server_over(&name, Some("its cell could not be launched"))
    }

    /// A server has something to say, or takes what it is told.
    pub(super) fn serve_link(&mut self, cell: CellId) -> Result<(), ShimError> {
        let Some(name) = self.servers.name_of(cell) else { return Ok(()) };
        loop {
            let Some(server) = self.servers.by_name.get_mut(&name) else { return Ok(()) };
            let (State::Settling { link, .. } | State::Ready { link, .. }) = &mut server.state else { return Ok(()) };
            link.turn();
            match link.next_event() {
                Ok(None) => {
                    link.flush();
                    return Ok(());
                }
                Ok(Some(Event::Tools(tools))) => self.server_listed(&name, tools)?,
                Ok(Some(Event::Answer { call, outcome })) => self.server_answered(&name, call, outcome)?,
                Err(broken) => return self.end_server(&name, &broken.to_string()),
            }
        }
    }

    /// Holds the live tools against the approved ones.
    fn server_listed(&mut self, name: &str, live: Vec<McpTool>) -> Result<(), ShimError> {
        let approved = self.decider.servers().iter().find(|server| server.name() == name);
        let mut standing = Standing::default();
        for tool in approved.map(McpServer::tools).unwrap_or_default() {
            let how = match live.iter().find(|now| now.name() == tool.name()) {
                Some(now) => drift(tool, now),
                None => Some(vec!["- the server does not have it any more".to_owned()]),
            };
            standing.drifted.extend(how.map(|how| (tool.name().to_owned(), how)));
        }
        for now in live.iter().filter(|now| approved.is_none_or(|approved| approved.tool(now.name()).is_none())) {
            let words = now.description().unwrap_or_default();
            let shown: String = words.chars().take(200).flat_map(|c| c.escape_debug()).collect();
            standing.added.insert(now.name().to_owned(), vec![format!("+ description: \"{shown}\"")]);
        }
        self.show_pinned(name, &live)?;
        let Some(server) = self.servers.by_name.get_mut(name) else { return Ok(()) };
        let state = std::mem::replace(&mut server.state, State::Idle);
        let (State::Settling { cell, link, .. } | State::Ready { cell, link, .. }) = state else {
            server.state = state;
            return Ok(());
        };
        let detail = json!({
            "server": name, "cell": cell, "peer": link.session.peer(), "tools": live.len(),
            "drifted": standing.drifted, "added": standing.added,
        });
        server.state = State::Ready { cell, link, standing };
        self.servers.stirred = true;
        self.ledger.lifecycle("mcp_listed", detail)
    }

    /// Tells the supervisor what a server that is only looked at has.
    fn show_pinned(&mut self, name: &str, live: &[McpTool]) -> Result<(), ShimError> {
        if self.setup.pin.as_deref() != Some(name) {
            return Ok(());
        }
        let tools: Vec<Value> = live.iter().map(|tool| tool.listed_as(tool.name())).collect();
        let text: Vec<char> = json!({ "tools": tools }).to_string().chars().collect();
        for piece in text.chunks(PIECE) {
            self.control.send(&ToSupervisor::LiveTools { text: piece.iter().collect() })?;
        }
        Ok(self.control.send(&ToSupervisor::Pinned { error: None })?)
    }

    /// The denial of a call of a tool that is not as it was approved.
    pub(super) fn drifted(&self, tool: &str) -> Option<Denial> {
        let (server, of) = tool.strip_prefix("mcp.")?.split_once('.')?;
        let standing = self.servers.standing(server)?;
        let (what, how) = match (standing.drifted.get(of), standing.added.get(of)) {
            (Some(how), _) => ("it is not the tool that was approved", how),
            (None, Some(how)) => ("nobody has approved it", how),
            (None, None) => return None,
        };
        let how = format!("{what}: {}", how.join("; "));
        Some(Denial::drifted(self.decider.bundle(), tool, server, &how))
    }

    /// Forwards a granted and recorded call.
    pub(super) fn call_server(&mut self, id: u64, name: &str, tool: &str, args: &str) -> Result<(), ShimError> {
        let wall = self.decider.bundle().tool_wall(&format!("mcp.{name}.{tool}")).unwrap_or(CALL_MS);
        let now = Instant::now();
        let unavailable = |why: &str| Answer::error(Status::Failed, "server", why);
        let Some(server) = self.servers.by_name.get_mut(name) else {
            return self.answer(id, unavailable("there is no such server"));
        };
        match &mut server.state {
            State::Ready { link, .. } => {
                if let Err(broken) = link.session.call(id, tool, args) {
                    let why = broken.to_string();
                    self.end_server(name, &why)?;
                    return self.answer(id, unavailable(&why));
                }
                let due = now.checked_add(Duration::from_millis(wall)).unwrap_or(now + Duration::from_hours(24));
                server.calls.insert(id, due);
                link.flush();
                Ok(())
            }
            State::Broken(why) => {
                let why = format!("the server is not available: {why}");
                self.answer(id, unavailable(&why))
            }
            _ => self.answer(id, unavailable("the server is not ready")),
        }
    }

    fn server_answered(&mut self, name: &str, id: u64, outcome: Result<String, PeerError>) -> Result<(), ShimError> {
        let known = self.servers.by_name.get_mut(name).and_then(|server| server.calls.remove(&id));
        if known.is_none() {
            return Ok(());
        }
        let raw = match outcome {
            Ok(raw) => raw,
            Err(PeerError { code, message }) => {
                let message = format!("the server answered with error {code}: {message}");
                return self.answer(id, Answer::error(Status::Failed, "server", &message));
            }
        };
        match parse_result(raw.as_bytes()) {
            Ok(body) if body.is_object() => {
                let failed = body.get("isError") == Some(&Value::Bool(true));
                // To who speaks the protocol goes the server's own text.
                self.flights.keep_raw(id, raw);
                self.answer(id, Answer { status: if failed { Status::Failed } else { Status::Ok }, body })
            }
            Ok(_) => self.answer(id, Answer::error(Status::Failed, "server", "the server's result is no object")),
            Err(why) => {
                let message = format!("the server's result is not taken: {why}");
                self.answer(id, Answer::error(Status::Failed, "server", &message))
            }
        }
    }

    /// Gives up a call whose asker does not wait any more.
    pub(super) fn give_up_call(&mut self, id: u64, why: &str) -> bool {
        for server in self.servers.by_name.values_mut() {
            if server.calls.remove(&id).is_some() {
                if let State::Ready { link, .. } = &mut server.state {
                    link.session.give_up(id, why);
                    link.flush();
                }
                return true;
            }
        }
        false
    }

    /// Looks at the clock.
    pub(super) fn tick_servers(&mut self, now: Instant) -> Result<(), ShimError> {
        let mut late = Vec::new();
        let mut over = Vec::new();
        for (name, server) in &self.servers.by_name {
            late.extend(server.calls.iter().filter(|(_, due)| **due <= now).map(|(id, _)| *id));
            match &server.state {
                State::Launching { due, .. } if *due <= now => over.push((name.clone(), "its launch took too long")),
                State::Settling { due, .. } if *due <= now => {
                    over.push((name.clone(), "it did not show its tools in time"));
                }
                State::Ending { due, cell, .. } if *due <= now => {
                    return Err(ShimError::Protocol(format!("server cell {cell} was to be killed and is not gone")));
                }
                _ => {}
            }
        }
        for id in late {
            self.give_up_call(id, "over its time");
            let message = "the server did not answer within the call's time limit";
            self.answer(id, Answer::error(Status::Limit, "wall", message))?;
        }
        for (name, why) in over {
            self.end_server(&name, why)?;
        }
        Ok(())
    }

    /// Has a server killed for good.
    fn end_server(&mut self, name: &str, why: &str) -> Result<(), ShimError> {
        let Some(server) = self.servers.by_name.get_mut(name) else { return Ok(()) };
        let Some(cell) = server.state.cell() else { return Ok(()) };
        if let State::Ending { .. } = server.state {
            return Ok(());
        }
        let state = State::Ending { cell, why: why.to_owned(), due: Instant::now() + PATIENCE };
        let before = std::mem::replace(&mut server.state, state);
        let stderr = match before {
            State::Settling { mut link, .. } | State::Ready { mut link, .. } => link.stderr.told(),
            _ => Value::Null,
        };
        self.ledger.lifecycle("mcp_broken", json!({ "server": name, "cell": cell, "why": why, "stderr": stderr }))?;
        self.control.send(&ToSupervisor::KillTool { cell })?;
        let calls: Vec<u64> = match self.servers.by_name.get_mut(name) {
            Some(server) => std::mem::take(&mut server.calls).into_keys().collect(),
            None => Vec::new(),
        };
        for id in calls {
            self.answer(id, Answer::error(Status::Failed, "server", &format!("the server was ended: {why}")))?;
        }
        Ok(())
    }

    /// A server's cell is gone.
    pub(super) fn server_exited(&mut self, cell: CellId, status: ExitStatus) -> Result<(), ShimError> {
        // What it has said before it went still counts.
        self.serve_link(cell)?;
        let Some(name) = self.servers.name_of(cell) else { return Ok(()) };
        self.last_syscalls(cell, self.servers.only_call(cell))?;
        let Some(server) = self.servers.by_name.get_mut(&name) else { return Ok(()) };
        let stderr = match &mut server.state {
            State::Settling { link, .. } | State::Ready { link, .. } => link.stderr.told(),
            _ => Value::Null,
        };
        let detail = json!({ "server": name, "cell": cell, "status": status, "stderr": stderr });
        let why = match &server.state {
            State::Ending { why, .. } => Some(why.clone()),
            _ if server.starts >= MAX_STARTS => Some(format!("it ended {MAX_STARTS} times")),
            _ => None,
        };
        self.ledger.lifecycle("mcp_exited", detail)?;
        self.server_over(&name, why.as_deref())
    }

    /// A server is not there any more: it may be started again, unless there is a reason not to.
    fn server_over(&mut self, name: &str, why: Option<&str>) -> Result<(), ShimError> {
        let Some(server) = self.servers.by_name.get_mut(name) else { return Ok(()) };
        server.state = why.map_or(State::Idle, |why| State::Broken(why.to_owned()));
        if self.setup.pin.as_deref() == Some(name) {
            let error = Some(why.unwrap_or("it ended before it showed its tools").to_owned());
            self.control.send(&ToSupervisor::Pinned { error })?;
        }
        self.servers.stirred = true;
        for id in std::mem::take(&mut server.calls).into_keys() {
            self.answer(id, Answer::error(Status::Failed, "server", "the server ended before it answered"))?;
        }
        Ok(())
    }

    /// The run ends: every server goes, and what was asked of it has no answer.
    pub(super) fn end_servers(&mut self) -> Result<(), ShimError> {
        let cells: Vec<CellId> = self.servers.cells().collect();
        for cell in cells {
            self.control.send(&ToSupervisor::KillTool { cell })?;
        }
        let servers = std::mem::take(&mut self.servers);
        for Parked { id, tool, .. } in servers.parked {
            self.ledger.lifecycle("call_unserved", json!({ "id": id, "tool": tool }))?;
        }
        for id in servers.by_name.into_values().flat_map(|server| server.calls.into_keys()) {
            self.answer(
                id,
                Answer::error(Status::Failed, "agent_gone", "the agent's cell ended before the server answered"),
            )?;
        }
        Ok(())
    }
}
