//! The journal as the mediator uses it: nothing before the `start` record, nothing left volatile
//! for long, and every failure final.

use std::time::{Duration, Instant};

use serde_json::Value;
use stockade_journal::{JournalError, Payload, Record, Start, Writer};

use crate::error::ShimError;

/// Longest time a record of a read may stay volatile. Intents of writes never wait: see
/// [`Ledger::commit`].
const SETTLE: Duration = Duration::from_secs(1);

/// Records that may wait for the `start` record. A cell that causes more while it loads is broken.
const MAX_HELD: usize = 1024;

/// A journal with one writer and one rule: `start` comes first.
#[derive(Debug)]
pub struct Ledger {
    writer: Writer,
    /// Records made before `start`; `None` once the journal is open for all.
    held: Option<Vec<Record>>,
    volatile_since: Option<Instant>,
}

impl Ledger {
    /// Holds records back until [`Self::begin`] or [`Self::open`].
    #[must_use]
    pub fn new(writer: Writer) -> Self {
        Self { writer, held: Some(Vec::new()), volatile_since: None }
    }

    /// Writes the `start` record, then what was held back, and makes all durable.
    ///
    /// # Errors
    /// [`JournalError`]; the run cannot go on.
    pub fn begin(&mut self, start: Start) -> Result<(), ShimError> {
        self.write(Record::Start(Box::new(start)))?;
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
        self.writer.append(record)?;
        self.volatile_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Makes everything so far durable.
    ///
    /// # Errors
    /// [`JournalError`]; the run cannot go on.
    pub fn commit(&mut self) -> Result<(), ShimError> {
        if self.volatile_since.is_some() {
            self.writer.commit()?;
            self.volatile_since = None;
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
