//! What egress has asked and not ended.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use stockade_policy::HostPatterns;
use stockade_wire::egress::{FromShim, MAX_ASKS, ToShim};

use super::door::Door;

/// Names whose refusal gets a record of its own; further ones are counted.
const NAMES_SHOWN: usize = 128;

/// A granted request or connection under way.
#[derive(Debug)]
pub struct Flight {
    /// Its call.
    pub call: u64,
    /// When it was asked for.
    pub begun: Instant,
    /// Networks that its host may lead to, besides the Internet's addresses.
    pub networks: HostPatterns,
    /// An address was refused after the grant; that is its end, whatever egress says of it.
    pub refused: Option<serde_json::Value>,
}

/// The conversation.
#[derive(Debug)]
pub struct Desk {
    door: Door,
    flights: BTreeMap<u64, Flight>,
    last: u64,
    names: BTreeSet<String>,
    /// Refused lookups that have no record.
    uncounted: u64,
}

impl Desk {
    /// Speaks over a connected `SOCK_SEQPACKET` socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { door: Door::new(socket), flights: BTreeMap::new(), last: 0, names: BTreeSet::new(), uncounted: 0 }
    }

    /// For poll(2).
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.door.fd()
    }

    /// Answers wait to be taken; no more is read then.
    #[must_use]
    pub fn congested(&self) -> bool {
        self.door.congested()
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// Why the conversation is over.
    pub fn flush(&mut self) -> Result<(), String> {
        self.door.flush()
    }

    /// The next message, checked against those before it.
    ///
    /// # Errors
    /// Why the conversation is over.
    pub fn next_message(&mut self) -> Result<Option<ToShim>, String> {
        let Some(message) = self.door.receive()? else { return Ok(None) };
        let ask = message.ask();
        match &message {
            ToShim::Found { .. } | ToShim::Done { .. } if !self.flights.contains_key(&ask) => {
                Err(format!("it speaks of {ask}, which was not granted or is over"))
            }
            ToShim::Found { .. } | ToShim::Done { .. } => Ok(Some(message)),
            _ if ask <= self.last => Err(format!("it asks as number {ask} after {}", self.last)),
            _ if self.flights.len() >= MAX_ASKS => Err("it has too many requests and connections open".to_owned()),
            _ => {
                self.last = ask;
                Ok(Some(message))
            }
        }
    }

    /// Answers.
    ///
    /// # Errors
    /// Why the conversation is over.
    pub fn send(&mut self, message: &FromShim) -> Result<(), String> {
        self.door.send(message)
    }

    /// A grant is under way.
    pub fn begin(&mut self, ask: u64, flight: Flight) {
        self.flights.insert(ask, flight);
    }

    /// One that is under way.
    pub fn flight(&mut self, ask: u64) -> Option<&mut Flight> {
        self.flights.get_mut(&ask)
    }

    /// It is over.
    pub fn end(&mut self, ask: u64) -> Option<Flight> {
        self.flights.remove(&ask)
    }

    /// Nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }

    /// All that are under way, for whoever ends them.
    pub fn end_all(&mut self) -> Vec<Flight> {
        std::mem::take(&mut self.flights).into_values().collect()
    }

    /// Whether the refusal of a name gets a record: the first of each, as far as they are shown.
    pub fn shows(&mut self, name: &str) -> bool {
        let shown = self.names.len() < NAMES_SHOWN && self.names.insert(name.to_owned());
        self.uncounted += u64::from(!shown);
        shown
    }

    /// Refused lookups without a record.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        self.uncounted
    }
}
