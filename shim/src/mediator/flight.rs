//! Calls between their question and their answer.

use std::collections::BTreeMap;
use std::time::Instant;

/// Who asked, and so who is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The wasm cell, on its channel.
    Channel,
    /// A session of MCP, and the request in it.
    Mcp {
        /// The session.
        session: u32,
        /// The request.
        request: u64,
    },
}

/// A call that was taken and is not answered yet.
#[derive(Debug)]
pub(super) struct Flight {
    /// Who asked.
    pub origin: Origin,
    /// When it was taken.
    pub begun: Instant,
    /// The tool, as it was named.
    pub tool: String,
    /// The answer as a server gave it, for who speaks its protocol.
    pub raw: Option<String>,
}

/// All calls in flight, by id. Each leaves the table with its answer, and only so.
#[derive(Debug, Default)]
pub(super) struct Flights(BTreeMap<u64, Flight>);

impl Flights {
    /// Takes a call.
    pub(super) fn take_off(&mut self, id: u64, flight: Flight) {
        self.0.insert(id, flight);
    }

    /// A call is answered: to whom the answer goes.
    pub(super) fn land(&mut self, id: u64) -> Option<Flight> {
        self.0.remove(&id)
    }

    /// When a call was taken.
    pub(super) fn begun(&self, id: u64) -> Option<Instant> {
        self.0.get(&id).map(|flight| flight.begun)
    }

    /// Calls of tools that `which` chooses.
    pub(super) fn of(&self, which: impl Fn(&str) -> bool) -> Vec<u64> {
        self.0.iter().filter(|(_, flight)| which(&flight.tool)).map(|(id, _)| *id).collect()
    }

    /// The call that a request became.
    pub(super) fn asked_by(&self, origin: Origin) -> Option<u64> {
        self.0.iter().find(|(_, flight)| flight.origin == origin).map(|(id, _)| *id)
    }

    /// Keeps a server's own text of an answer that is about to be given.
    pub(super) fn keep_raw(&mut self, id: u64, raw: String) {
        if let Some(flight) = self.0.get_mut(&id) {
            flight.raw = Some(raw);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one call in flight; none if there are several, since which of them caused something is then unknown.
    pub(super) fn only(&self) -> Option<u64> {
        let mut ids = self.0.keys();
        ids.next().filter(|_| ids.next().is_none()).copied()
    }
}
