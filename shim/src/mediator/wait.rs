//! What the loop waits for, and for how long.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use stockade_wire::control::CellId;

use super::Mediator;
use super::agents::SessionId;
use crate::error::ShimError;
use crate::exec::{Stream, ToolRun};

/// Something that poll(2) reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A listener, by its place.
    Watch(usize),
    /// A stream of a tool's.
    Tool(CellId),
    /// A stream of a server's.
    Server(CellId),
    /// A native agent's session.
    Agent(SessionId),
    /// The cell channel.
    Cell,
    /// Egress.
    Egress,
    /// The control socket.
    Control,
}

impl Mediator {
    /// Waits for events or the next deadline. Sources come in the order in which they are to be
    /// served: what a cell did before what the supervisor says became of it.
    pub(super) fn wait(&self) -> Result<Vec<(Source, PollFlags)>, ShimError> {
        let mut sources = Vec::new();
        let mut fds = Vec::new();
        let mut add = |source, fd, events| {
            sources.push(source);
            fds.push(PollFd::new(fd, events));
        };
        for (index, watch) in self.watches.iter().enumerate() {
            add(Source::Watch(index), watch.fd(), PollFlags::POLLIN);
        }
        for (cell, tool) in &self.tools {
            for fd in [&tool.stdout, &tool.stderr].into_iter().filter_map(Stream::fd) {
                add(Source::Tool(*cell), fd, PollFlags::POLLIN);
            }
        }
        for (cell, link) in self.servers.links() {
            let streams = [(link.output(), PollFlags::POLLIN), (link.stderr.fd(), PollFlags::POLLIN)];
            for (fd, events) in streams.into_iter().chain([(link.input(), PollFlags::POLLOUT)]) {
                if let Some(fd) = fd {
                    add(Source::Server(cell), fd, events);
                }
            }
        }
        for (session, fd, events) in self.agents.wants(!self.control.congested()) {
            add(Source::Agent(session), fd, events);
        }
        if let Some(channel) = &self.channel {
            // A cell that does not take its answers, or whose log outruns the supervisor, waits.
            if channel.congested() {
                add(Source::Cell, channel.fd(), PollFlags::POLLOUT);
            } else if !self.control.congested() {
                add(Source::Cell, channel.fd(), PollFlags::POLLIN);
            }
        }
        if let Some(desk) = &self.egress {
            let events = if desk.congested() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            add(Source::Egress, desk.fd(), events);
        }
        let out = if self.control.congested() { PollFlags::POLLOUT } else { PollFlags::empty() };
        add(Source::Control, self.control.fd(), PollFlags::POLLIN | out);
        match poll(&mut fds, self.timeout()) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(errno) => return Err(ShimError::Os { what: "poll", errno }),
        }
        // Flags that nix does not know are taken for "look at it".
        let events = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::POLLIN));
        Ok(sources.into_iter().zip(events).filter(|(_, events)| !events.is_empty()).collect())
    }

    fn timeout(&self) -> PollTimeout {
        if self.backlog && self.can_serve_frames() {
            return PollTimeout::ZERO;
        }
        let tool = self.tools.values().map(ToolRun::deadline).min();
        let deadlines = [
            self.fold.deadline(),
            self.ledger.deadline(),
            tool,
            self.servers.deadline(),
            self.ledger.heads.deadline(),
            self.approvals.deadline(),
            self.condemned,
            self.closed,
        ];
        match deadlines.into_iter().flatten().min() {
            None => PollTimeout::NONE,
            Some(due) => {
                // Rounded up: a timeout that ends before its deadline would spin.
                let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        }
    }
}
