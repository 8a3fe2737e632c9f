//! The journal as the mediator uses it: nothing before the `start` record, nothing left volatile
//! for long, and every failure final.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockade_journal::{JournalError, Outcome, Payload, Record, Writer};

use crate::error::ShimError;
use crate::heads::Heads;

/// Longest time a record of a read may stay volatile. Intents of writes never wait: see
/// [`Ledger::commit`].
const SETTLE: Duration = Duration::from_secs(1);

/// Records that may wait for the `start` record. A cell that causes more while it loads is broken.
const MAX_HELD: usize = 1024;

/// What of `limits.journal`, and on the journal's file system, is kept free for the outcome of what is under way, for the counts, and for the end.
const RESERVE: u64 = 128 * 1024;
/// And of this the part for the very last record.
const LAST: u64 = 32 * 1024;

/// Why the run must end: a record found no room but in what is kept for its end.
#[derive(Debug)]
pub enum NoRoom {
    /// `limits.journal`; in words.
    Limit(String),
    /// The journal's file system, or a quota on it; in words.
    Disk(String),
}

/// A journal with one writer and one rule: `start` comes first.
#[derive(Debug)]
pub struct Ledger {
    writer: Writer,
    /// `limits.journal`.
    limit: u64,
    /// The run is ending, so the reserve may be used; holds how many records found no room even there.
    closing: Option<u64>,
    /// What found no room first, until it was asked for.
    full: Option<NoRoom>,
    /// Records made before `start`; `None` once the journal is open for all.
    held: Option<Vec<Record>>,
    volatile_since: Option<Instant>,
    /// What the notary is to hear.
    pub heads: Heads,
}

impl Ledger {
    /// Holds records back until [`Self::begin`] or [`Self::open`].
    #[must_use]
    pub fn new(mut writer: Writer, limit: u64) -> Self {
        writer.allow(limit.saturating_sub(if limit == u64::MAX { 0 } else { RESERVE }));
        writer.keep_free(RESERVE);
        let (told, _) = writer.head();
        Self {
            writer,
            limit,
            closing: None,
            full: None,
            held: Some(Vec::new()),
            volatile_since: None,
            heads: Heads::after(told),
        }
    }

    /// The run is ending: the reserve is for what is left to be said. What does not fit there is counted, since
    /// nothing happens any more that was not recorded before.
    pub fn close(&mut self) {
        if self.closing.is_none() {
            self.closing = Some(0);
            self.writer.allow(if self.limit == u64::MAX { u64::MAX } else { self.limit.saturating_sub(LAST) });
            self.writer.keep_free(LAST);
        }
    }

    /// Adds the last record, with how many before it found no room.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn last(&mut self, event: &str, detail: Value) -> Result<(), ShimError> {
        self.close();
        self.writer.allow(self.limit);
        self.writer.keep_free(0);
        if let Some(unrecorded @ 1..) = self.closing {
            let allowed = Some(self.limit).filter(|limit| *limit != u64::MAX);
            let detail = json!({ "allowed": allowed, "unrecorded": unrecorded });
            self.write(Record::Lifecycle { event: "journal_limit".to_owned(), detail })?;
        }
        self.write(Record::Lifecycle { event: event.to_owned(), detail })?;
        self.commit()?;
        self.writer.trim();
        Ok(())
    }

    /// Why the run must end, said once.
    pub fn take_full(&mut self) -> Option<NoRoom> {
        self.full.take()
    }

    /// Writes the first record, `start` or `resumed`, then what was held back, and makes all durable.
    ///
    /// # Errors
    /// [`JournalError`]; the run cannot go on.
    pub fn begin(&mut self, first: Record) -> Result<(), ShimError> {
        self.write(first)?;
        self.open()?;
        self.commit()
    }

    /// Writes what was held back, without a `start` record: the agent never ran.
    ///
    /// # Errors
    /// [`JournalError`]; the run cannot go on.
    pub fn open(&mut self) -> Result<(), ShimError> {
        for record in self.held.take().unwrap_or_default() {
            self.write(record)?;
        }
        Ok(())
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`JournalError`], or too many records before `start`; the run cannot go on.
    pub fn append(&mut self, record: Record) -> Result<(), ShimError> {
        match &mut self.held {
            None => self.write(record),
            Some(held) if held.len() < MAX_HELD => {
                held.push(record);
                Ok(())
            }
            Some(held) => Err(ShimError::Protocol(format!("{} events before the agent's start", held.len()))),
        }
    }

    /// Adds a lifecycle record.
    ///
    /// # Errors
    /// Those of [`Self::append`].
    pub fn lifecycle(&mut self, event: &str, detail: Value) -> Result<(), ShimError> {
        self.append(Record::Lifecycle { event: event.to_owned(), detail })
    }

    fn write(&mut self, record: Record) -> Result<(), ShimError> {
        self.write_within(record)?;
        self.volatile_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn put(&mut self, record: Record) -> Result<(), JournalError> {
        let receipt = self.writer.append(record)?;
        self.heads.written(receipt.hash);
        Ok(())
    }

    /// For the operator.
    #[must_use]
    pub fn no_room(&self, error: &JournalError) -> NoRoom {
        let (limit, used) = (self.limit, self.writer.used());
        match error {
            JournalError::NoSpace { .. } => {
                let said = error.to_string();
                NoRoom::Disk(format!("journal: {}", said.strip_prefix("journal ").unwrap_or(&said)))
            }
            JournalError::Full { bytes, .. } if *bytes > 0 => NoRoom::Limit(format!(
                "the journal has {used} bytes; {bytes} more would pass limits.journal of {limit}, of which {RESERVE} are kept for the last records"
            )),
            _ => NoRoom::Limit(format!(
                "the journal has {used} bytes and takes no more calls under limits.journal of {limit}"
            )),
        }
    }

    /// Announcements are refused when there is no room, and what they announce does not happen. What has happened
    /// goes to the reserve.
    fn write_within(&mut self, record: Record) -> Result<(), JournalError> {
        let announces = matches!(record, Record::Call(_) | Record::Start(_));
        if announces && self.closing.is_some() {
            return Err(JournalError::Full { used: self.writer.used(), bytes: 0, allowed: self.limit });
        }
        let full = match self.put(record.clone()) {
            Err(full @ (JournalError::Full { .. } | JournalError::NoSpace { .. })) if !announces => full,
            other => return other,
        };
        self.met_no_room(&full);
        let short = match record {
            // An outcome has its answer in it, which may be long.
            Record::Result(outcome) => {
                let body = json!({ "unrecorded": full.to_string() });
                Record::Result(Outcome { body: Payload::Inline(body), ..outcome })
            }
            other => other,
        };
        match (self.put(short), &mut self.closing) {
            (Err(JournalError::Full { .. } | JournalError::NoSpace { .. }), Some(unrecorded)) => {
                *unrecorded = unrecorded.saturating_add(1);
                Ok(())
            }
            (other, _) => other,
        }
    }

    /// Has the run end, since something that has happened found no room.
    fn met_no_room(&mut self, full: &JournalError) {
        if self.closing.is_none() {
            self.close();
            self.full = Some(self.no_room(full));
        }
    }

    /// Makes everything so far durable.
    ///
    /// # Errors
    /// [`JournalError`]; the run cannot go on.
    pub fn commit(&mut self) -> Result<(), ShimError> {
        if self.volatile_since.is_some() {
            self.writer.commit()?;
            self.volatile_since = None;
            self.heads.durable(Instant::now());
        }
        Ok(())
    }

    /// Commits if something has been volatile for long enough.
    ///
    /// # Errors
    /// [`JournalError`]; the run cannot go on.
    pub fn settle(&mut self, now: Instant) -> Result<(), ShimError> {
        match self.deadline() {
            Some(due) if due <= now => self.commit(),
            _ => Ok(()),
        }
    }

    /// When [`Self::settle`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.volatile_since.map(|since| since + SETTLE)
    }

    /// A value for a record: itself, or the name of a blob that is durable at return.
    ///
    /// # Errors
    /// [`JournalError`]; the run cannot go on.
    pub fn payload(&mut self, value: Value) -> Result<Payload, JournalError> {
        self.writer.payload(value)
    }

    /// A value for a record that may have to be forgotten: a commitment to it, durable at return.
    ///
    /// # Errors
    /// [`JournalError`], or there is no salt for it; the run cannot go on.
    pub fn private(&mut self, value: Value) -> Result<Payload, ShimError> {
        let mut salt = [0; 32];
        crate::random::fill(&mut salt).map_err(|errno| ShimError::Os { what: "getrandom", errno })?;
        Ok(self.writer.private(value, salt)?)
    }

    /// [`Self::private`] of an answer to what has happened: one that finds no room is recorded in short.
    ///
    /// # Errors
    /// As there.
    pub fn private_answer(&mut self, value: Value) -> Result<Payload, ShimError> {
        match self.private(value) {
            Err(ShimError::Journal(full @ (JournalError::Full { .. } | JournalError::NoSpace { .. }))) => {
                self.met_no_room(&full);
                Ok(Payload::Inline(json!({ "unrecorded": full.to_string() })))
            }
            other => other,
        }
    }

    /// The `start` record is written.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.held.is_none()
    }

    /// Number of records and hash of the last, hex.
    #[must_use]
    pub fn head(&self) -> (u64, String) {
        self.writer.head()
    }
}
