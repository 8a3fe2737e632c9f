//! Sessions with native agents: MCP on a socket that the agent inherited.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, recv, send};
use serde_json::{Value, json};
use stockade_policy::Tool;
use stockade_wire::control::ToSupervisor;
use stockade_wire::frame::Status;

use super::Mediator;
use super::call::Asked;
use super::flight::Origin;
use crate::answer::Answer;
use crate::error::ShimError;
use crate::mcp::flush;
use crate::mcp::server::{Event, ServerSession};

/// Bytes read before other descriptors get their turn.
const CHUNK: usize = 64 * 1024;

/// Names a session in one run.
pub(super) type SessionId = u32;

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Agents {
    open: BTreeMap<SessionId, Agent>,
    last: SessionId,
}

#[derive(Debug)]
struct Agent {
    socket: OwnedFd,
    session: ServerSession,
}

impl Agents {
    /// Speaks over a connected stream socket.
    pub(super) fn admit(&mut self, socket: OwnedFd) {
        self.last += 1;
        self.open.insert(self.last, Agent { socket, session: ServerSession::default() });
    }

    /// Sockets to poll, and for what. An agent that does not take its answers is not read.
    pub(super) fn wants(&self, read: bool) -> impl Iterator<Item = (SessionId, BorrowedFd<'_>, PollFlags)> {
        self.open.iter().map(move |(id, agent)| {
            let input = if read && !agent.session.congested() { PollFlags::POLLIN } else { PollFlags::empty() };
            let output = if agent.session.has_output() { PollFlags::POLLOUT } else { PollFlags::empty() };
            (*id, agent.socket.as_fd(), input | output)
        })
    }

    /// No more is asked and nobody is answered.
    pub(super) fn close(&mut self) {
        self.open.clear();
    }
}

impl Agent {
    /// Takes what has arrived; false once there is no more to come.
    fn read(&mut self) -> bool {
        let mut chunk = [0u8; CHUNK];
        match recv(self.socket.as_raw_fd(), &mut chunk, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => false,
            Ok(n) => {
                self.session.receive(chunk.get(..n).unwrap_or_default());
                true
            }
            Err(Errno::EAGAIN | Errno::EINTR) => true,
            Err(_) => false,
        }
    }

    /// Sends what the agent takes; false once it takes no more.
    fn flush(&mut self) -> bool {
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        flush(self.session.output(), |rest| send(socket, rest, flags))
    }
}

impl Mediator {
    /// Serves an agent's session.
    pub(super) fn serve_agent(&mut self, id: SessionId, events: PollFlags) -> Result<(), ShimError> {
        let Some(agent) = self.agents.open.get_mut(&id) else { return Ok(()) };
        let input = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let mut open = agent.flush();
        if events.intersects(input) && !agent.session.congested() {
            open &= agent.read();
        }
        loop {
            let Some(agent) = self.agents.open.get_mut(&id) else { return Ok(()) };
            match agent.session.next_event() {
                Ok(None) => {
                    open &= agent.flush();
                    break;
                }
                Ok(Some(event)) => self.serve_event(id, event)?,
                Err(fault) => {
                    self.ledger.lifecycle("mcp_session_closed", json!({ "session": id, "why": fault.to_string() }))?;
                    open = false;
                    break;
                }
            }
        }
        if !open {
            self.end_session(id)?;
        }
        Ok(())
    }

    fn serve_event(&mut self, session: SessionId, event: Event) -> Result<(), ShimError> {
        match event {
            Event::List { request } => self.asked_by(session, request, Tool::Tools.name(), "{}"),
            Event::Call { request, tool, args } => self.asked_by(session, request, &tool, &args),
            Event::Cancelled { request } => self.cancel(Origin::Mcp { session, request }),
        }
    }

    fn asked_by(&mut self, session: SessionId, request: u64, tool: &str, args: &str) -> Result<(), ShimError> {
        self.last_call += 1;
        let origin = Origin::Mcp { session, request };
        self.call(&Asked { id: self.last_call, origin, fuel: None, tool, text: args.as_bytes() })
    }

    /// Nobody waits for an answer any more: what can be stopped is.
    fn cancel(&mut self, origin: Origin) -> Result<(), ShimError> {
        self.forget_parked(origin);
        let Some(id) = self.flights.asked_by(origin) else { return Ok(()) };
        if self.give_up_call(id, "cancelled by the agent") {
            return self.answer(id, Answer::error(Status::Failed, "cancelled", "the agent gave the call up"));
        }
        self.withdraw_call(id, "the agent gave the call up")?;
        // A command is killed, and its end is the call's.
        let cells = self.tools.iter().filter(|(_, tool)| tool.call == id).map(|(cell, _)| *cell);
        for cell in cells.collect::<Vec<_>>() {
            self.control.send(&ToSupervisor::KillTool { cell })?;
        }
        Ok(())
    }

    fn end_session(&mut self, id: SessionId) -> Result<(), ShimError> {
        let Some(agent) = self.agents.open.remove(&id) else { return Ok(()) };
        for request in agent.session.waiting().collect::<Vec<_>>() {
            self.cancel(Origin::Mcp { session: id, request })?;
        }
        Ok(())
    }

    /// Gives an agent its answer.
    pub(super) fn reply_to_agent(
        &mut self,
        (session, request): (SessionId, u64),
        status: Status,
        raw: Option<&str>,
        body: &[u8],
    ) {
        let Some(agent) = self.agents.open.get_mut(&session) else { return };
        let text = String::from_utf8_lossy(body);
        match raw {
            Some(raw) => agent.session.answer_raw(request, raw),
            None if agent.session.is_list(request) => {
                let list: Option<Value> = serde_json::from_slice(body).ok();
                match list.as_ref().and_then(|list| list.get("tools")).and_then(Value::as_array) {
                    Some(tools) if status == Status::Ok => agent.session.answer_list(request, tools),
                    _ => agent.session.answer_error(request, &text),
                }
            }
            None => agent.session.answer_text(request, &text, status != Status::Ok),
        }
        // What it does not take now is sent when it does.
        let _open = agent.flush();
    }
}
