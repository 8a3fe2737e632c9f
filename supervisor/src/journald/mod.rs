//! Decisions and signed heads to journald, if the host has it. Arguments and answers are never sent: the run's journal
//! is the record, and this is where an operator and a log shipper see that something was decided, and where a signed
//! head leaves the host.
//!
//! What is told is on disk and signed. A journald that is slow or gone holds up nothing: what it did not take is counted, and
//! said.

mod entry;
mod story;

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, socket};
use stockade_journal::Reader;

use entry::Entry;

/// Where journald listens (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const SOCKET: &str = "/run/systemd/journal/socket";

/// What journald is told of one run.
#[derive(Debug)]
pub(crate) struct Journald {
    socket: OwnedFd,
    address: UnixAddr,
    run: String,
    /// Begun when there is something to tell.
    reader: Option<Reader>,
    /// Who acts, once its first record was read.
    agent: String,
    /// Records up to here were told before.
    told: u64,
    /// Entries that were not taken.
    untaken: u64,
    /// Why the journal is not read on.
    unread: Option<String>,
}

impl Journald {
    /// `None` if the host has no journald. The first `told` records of the run were told.
    pub(crate) fn find(run: &str, told: u64) -> Option<Self> {
        if !Path::new(SOCKET).exists() {
            return None;
        }
        let address = UnixAddr::new(SOCKET).ok()?;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
        Some(Self {
            socket,
            address,
            run: run.to_owned(),
            reader: None,
            agent: String::new(),
            told,
            untaken: 0,
            unread: None,
        })
    }

    /// Tells the decisions among the records up to `size` of the journal in `journal`, and their head.
    pub(crate) fn tell(&mut self, journal: &Path, size: u64, checkpoint: &str) {
        if size <= self.told {
            return;
        }
        if self.unread.is_none() {
            self.unread = self.decisions(journal, size).err();
        }
        self.told = size;
        self.send(&story::head(&self.run, &self.agent, size, checkpoint));
    }

    fn decisions(&mut self, journal: &Path, size: u64) -> Result<(), String> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(journal).map_err(|error| error.to_string())?,
        };
        reader.again().map_err(|error| error.to_string())?;
        while reader.head().0 < size {
            let Some(line) = reader.read().map_err(|error| error.to_string())? else { break };
            if let Some(agent) = story::agent(&line.entry.record) {
                self.agent = agent.to_owned();
            }
            if line.entry.seq > self.told
                && let Some(entry) = story::decision(&self.run, &self.agent, &line.entry)
            {
                self.send(&entry);
            }
        }
        self.reader = Some(reader);
        Ok(())
    }

    fn send(&mut self, entry: &Entry) {
        // By name each time: a journald that was started again listens anew.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if sendto(self.socket.as_raw_fd(), entry.bytes(), &self.address, flags).is_err() {
            self.untaken = self.untaken.saturating_add(1);
        }
    }

    /// What journald does not have, for the operator.
    pub(crate) fn missing(&self) -> Option<String> {
        let untaken = (self.untaken > 0).then(|| format!("{} entries were not taken", self.untaken));
        let unread = self.unread.as_ref().map(|why| format!("the run's journal could not be read for it: {why}"));
        let parts: Vec<String> = untaken.into_iter().chain(unread).collect();
        (!parts.is_empty()).then(|| format!("journald: {}; stockade journal show has all", parts.join("; ")))
    }
}
