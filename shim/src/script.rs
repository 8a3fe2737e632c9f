//! A recorded run as the list of what its agent did, in order, with what it was answered.
//!
//! Read as it is needed, checked on the way by the journal's reader, in the memory of one call. What the agent had no
//! part in (system calls that were refused, tools' cells, recovery) is passed over; crashes and resumptions are, too:
//! a call that a crash cut off and that was made again is one call here.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use serde_json::Value;
use stockade_journal::{Approval, Call, Outcome, Payload, ReadError, Reader, Record, Unread, parse_time};
use stockade_wire::control::{AgentExit, CellId, Reason};

/// One thing the agent did.
#[derive(Debug)]
pub enum Step {
    /// It asked for a tool.
    Call(Box<Asked>),
    /// It logged a line.
    Log {
        /// The record's number.
        seq: u64,
        /// As recorded.
        level: String,
        /// As recorded.
        message: String,
        /// As recorded.
        dropped: u64,
    },
    /// It ended.
    Exit {
        /// The record's number.
        seq: u64,
        /// As recorded.
        exit: AgentExit,
    },
    /// Nothing more is recorded of it.
    End {
        /// The last record.
        seq: u64,
        /// Why.
        because: String,
    },
}

/// A recorded call.
#[derive(Debug)]
pub struct Asked {
    /// The record's number.
    pub seq: u64,
    /// Microseconds since 1970.
    pub time: i64,
    /// As recorded.
    pub call: Call,
    /// What came of it; none if a crash, or the end of the run, came first.
    pub outcome: Option<Outcome>,
}

impl Step {
    /// The record's number.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Call(asked) => asked.seq,
            Self::Log { seq, .. } | Self::Exit { seq, .. } | Self::End { seq, .. } => *seq,
        }
    }
}

/// Why a script cannot be read on.
#[derive(Debug)]
pub enum ScriptError {
    /// The journal does not hold together.
    Read(ReadError),
    /// A record that no run writes in this place.
    Order {
        /// The record's number.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// A record, or a value of it, that was taken from the journal by who may: it holds together, and tells no more.
    Gone {
        /// The record's number.
        seq: u64,
        /// What is gone.
        what: String,
    },
}

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "{error}"),
            Self::Order { seq, what } | Self::Gone { seq, what } => write!(f, "record {seq}: {what}"),
        }
    }
}

impl std::error::Error for ScriptError {}

impl From<ReadError> for ScriptError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// The steps of a recorded run.
#[derive(Debug)]
pub struct Script {
    reader: Reader,
    /// Records after this one are not read.
    last: Option<u64>,
    next: Option<Step>,
    /// Why the run went no further, as far as it is recorded.
    because: Option<String>,
    /// The record of the run's end.
    end: Option<Value>,
    /// Microseconds since 1970 of the first record.
    begun: i64,
    /// Highest number of a tool's cell.
    cells: CellId,
    /// Last steps of approvals whose call is not recorded yet, by call, and the highest number of one.
    approvals: BTreeMap<u64, Approval>,
    last_approval: u64,
}

impl Script {
    /// The run in an open journal, up to a record.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn open(journal: OwnedFd, last: Option<u64>) -> Result<Self, ReadError> {
        let reader = Reader::from_dir(journal)?;
        Ok(Self {
            reader,
            last,
            next: None,
            because: None,
            end: None,
            begun: 0,
            cells: 0,
            approvals: BTreeMap::new(),
            last_approval: 0,
        })
    }

    /// What the agent does next. The last step is [`Step::Exit`] or [`Step::End`], and stays.
    ///
    /// # Errors
    /// [`ScriptError`]
    pub fn peek(&mut self) -> Result<&Step, ScriptError> {
        let step = match self.next.take() {
            Some(step) => step,
            None => self.read()?,
        };
        Ok(self.next.insert(step))
    }

    /// Goes on to the next step.
    pub fn pass(&mut self) {
        if !matches!(self.next, Some(Step::Exit { .. } | Step::End { .. })) {
            self.next = None;
        }
    }

    /// The value of a payload of this journal.
    ///
    /// # Errors
    /// [`ScriptError::Gone`] if it was private and is not here, [`ScriptError::Order`] if it cannot be had otherwise.
    pub fn value(&self, seq: u64, payload: Payload) -> Result<Value, ScriptError> {
        self.reader.value(payload).map_err(|error| match error {
            Unread::Erased => ScriptError::Gone { seq, what: "what it holds is private, and not here".to_owned() },
            other => order(seq, other.to_string()),
        })
    }

    /// The recorded end of the run, after the last step.
    ///
    /// # Errors
    /// [`ScriptError`]
    pub fn end(&mut self) -> Result<Option<Value>, ScriptError> {
        while self.line()?.is_some() {}
        Ok(self.end.clone())
    }

    /// Microseconds since 1970 of the first record, once a step was read.
    #[must_use]
    pub fn begun(&self) -> i64 {
        self.begun
    }

    /// Highest number that a tool's cell had, so far.
    #[must_use]
    pub fn cells(&self) -> CellId {
        self.cells
    }

    /// Approvals that were asked for and not answered, or answered and not used, so far; and the highest number of one.
    #[must_use]
    pub fn approvals(&self) -> (Vec<Approval>, u64) {
        (self.approvals.values().cloned().collect(), self.last_approval)
    }

    fn read(&mut self) -> Result<Step, ScriptError> {
        while let Some((seq, time, record)) = self.line()? {
            match record {
                Record::Call(call) => return self.call(Asked { seq, time, call, outcome: None }),
                Record::Log { level, message, dropped } => return Ok(Step::Log { seq, level, message, dropped }),
                Record::Lifecycle { event, detail } if event == "agent_exit" => return self.exit(seq, detail),
                Record::Result(outcome) => {
                    return Err(order(seq, format!("a result of call {}, which is not under way", outcome.id)));
                }
                Record::Tombstone { .. } => return Err(pruned(seq)),
                _ => {}
            }
        }
        let (seq, _) = self.reader.head();
        let because = self.because.clone();
        let because = because.unwrap_or_else(|| "nothing more was written: the run ended without a word".to_owned());
        Ok(Step::End { seq, because })
    }

    /// A call, with its arguments at hand if they are private, and what came of it.
    fn call(&mut self, asked: Asked) -> Result<Step, ScriptError> {
        let mut asked = self.answered(asked)?;
        if matches!(asked.call.args, Payload::Private { .. }) {
            asked.call.args = Payload::Inline(self.value(asked.seq, asked.call.args.clone())?);
        }
        Ok(Step::Call(Box::new(asked)))
    }

    /// Looks for what came of a call.
    fn answered(&mut self, mut asked: Asked) -> Result<Asked, ScriptError> {
        let id = asked.call.id;
        while let Some((seq, time, record)) = self.line()? {
            match record {
                Record::Result(outcome) if outcome.id == id => {
                    asked.outcome = Some(outcome).filter(|outcome| !is_unrecorded(outcome));
                    return Ok(asked);
                }
                Record::Tombstone { .. } => return Err(pruned(seq)),
                // Made again by a run that was resumed.
                Record::Call(call) if call.id == id => asked = Asked { seq, time, call, outcome: None },
                Record::Call(_) | Record::Result(_) | Record::Log { .. } => {
                    return Err(order(seq, format!("it comes while call {id} is under way")));
                }
                _ => {}
            }
        }
        Ok(asked)
    }

    fn exit(&mut self, seq: u64, detail: Value) -> Result<Step, ScriptError> {
        let detail = self.reader.whole(detail).map_err(|error| order(seq, error.to_string()))?;
        let exit: AgentExit = serde_json::from_value(detail).map_err(|error| order(seq, error.to_string()))?;
        match exit.reason {
            // How far it got until then depends on the machine.
            Reason::LimitWall | Reason::Killed => {
                let because = format!("the agent was stopped from outside: {}", exit.detail);
                self.because.get_or_insert(because.clone());
                Ok(Step::End { seq, because })
            }
            _ => Ok(Step::Exit { seq, exit }),
        }
    }

    /// The next record, noting what is not the agent's doing.
    fn line(&mut self) -> Result<Option<(u64, i64, Record)>, ScriptError> {
        if self.last.is_some_and(|last| self.reader.head().0 >= last) {
            return Ok(None);
        }
        let Some(line) = self.reader.read()? else { return Ok(None) };
        let (seq, record) = (line.entry.seq, line.entry.record);
        // The reader has checked that it is one.
        let time = parse_time(&line.entry.time).unwrap_or(0);
        if seq == 1 {
            self.begun = time;
        }
        match &record {
            Record::Approval(step) => self.approval(step),
            // Whatever was approved is used up by it.
            Record::Call(call) => drop(self.approvals.remove(&call.id)),
            _ => {}
        }
        if let Record::Lifecycle { event, detail } = &record {
            let said = |key: &str| detail.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            match event.as_str() {
                "killed" | "reclaimed" => self.because = Some(format!("{event}: {}", said("reason"))),
                "exit" => {
                    let why = format!("the run ended: {}: {}", said("reason"), said("detail"));
                    self.because.get_or_insert(why);
                    self.end = Some(detail.clone());
                }
                "resumed" => (self.because, self.end) = (None, None),
                "tool_started" | "mcp_starting" => {
                    let cell = detail.get("cell").and_then(Value::as_u64).and_then(|cell| u32::try_from(cell).ok());
                    self.cells = self.cells.max(cell.unwrap_or(0));
                }
                _ => {}
            }
        }
        Ok(Some((seq, time, record)))
    }

    /// Keeps the last step of an approval, with what the first said.
    fn approval(&mut self, step: &Approval) {
        self.last_approval = self.last_approval.max(step.id);
        let expires = self.approvals.remove(&step.call).map(|asked| asked.expires);
        let expires = if step.state == "asked" { step.expires.clone() } else { expires.unwrap_or_default() };
        self.approvals.insert(step.call, Approval { expires, ..step.clone() });
    }
}

fn order(seq: u64, what: String) -> ScriptError {
    ScriptError::Order { seq, what }
}

fn pruned(seq: u64) -> ScriptError {
    ScriptError::Gone { seq, what: "it was pruned, and is a tombstone now".to_owned() }
}

/// An answer for which the journal had no room (`limits.journal`).
fn is_unrecorded(outcome: &Outcome) -> bool {
    match &outcome.body {
        Payload::Inline(Value::Object(map)) => map.len() == 1 && map.contains_key("unrecorded"),
        _ => false,
    }
}
