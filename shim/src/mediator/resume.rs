//! Taking up a run: what its agent does again is answered from the journal and not done again, until it has done all that
//! is recorded. From there on it is a run like any other.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use serde_json::{Value, json};
use stockade_journal::{Outcome, Payload, Record};
use stockade_wire::control::{AgentExit, Divergence};
use stockade_wire::frame::Status;

use super::Mediator;
use super::call::Asked;
use crate::answer::Answer;
use crate::error::ShimError;
use crate::logs::Kept;
use crate::recall::{Act, answer, differs};
use crate::script::{Script, Step};

/// The one effect that changes nothing, so that doing it again is as good as once.
const READ: &str = "read";

/// What recalling came to.
enum Recalled {
    /// There is nothing to recall, or no more.
    Live,
    /// It is as recorded.
    Same,
    /// The run has been ended.
    Ended,
}

impl Mediator {
    /// When something happened, since the run began.
    pub(super) fn moment(&self, now: Instant) -> Duration {
        self.before + now.saturating_duration_since(self.born)
    }

    /// Answers a call from the journal; whether it did.
    pub(super) fn recall_call(&mut self, asked: &Asked<'_>, over: bool) -> Result<bool, ShimError> {
        let Asked { id, fuel, tool, text, .. } = *asked;
        match self.recall(Act::Call { id, fuel, tool, text, over })? {
            Recalled::Live => return Ok(false),
            Recalled::Ended => return Ok(true),
            Recalled::Same => {}
        }
        let Some(script) = &mut self.script else { return Ok(false) };
        let Ok(Step::Call(known)) = script.peek() else { return Ok(false) };
        let (seq, time) = (known.seq, known.time);
        let may_have_acted = known.call.decision == "allow" && known.call.effect != READ;
        let outcome = known.outcome.clone();
        let moment = u64::try_from(time.saturating_sub(script.begun())).unwrap_or(0);
        script.pass();
        let answered = outcome.map(|outcome| answer(script, seq, &outcome)).transpose();
        let answered = match answered {
            Ok(answered) => answered,
            Err(error) => return self.stray(&error.to_string()).map(|()| true),
        };
        if answered.is_none() && !may_have_acted {
            // It changed nothing, so it is decided, recorded and done anew.
            self.catch_up();
            return Ok(false);
        }
        *(if over { &mut self.calls.over } else { &mut self.calls.decided }) += 1;
        if !over {
            self.rates.count(Some(tool).filter(|tool| self.decider.knows(tool)), Duration::from_micros(moment));
        }
        let Some((status, body)) = answered else {
            self.catch_up();
            return self.unknown(id).map(|()| true);
        };
        if matches!(status, Status::Denied | Status::Invalid) {
            self.calls.denied += 1;
        }
        self.send_reply(id, status, true, body).map(|()| true)
    }

    /// Whether a line of the log is on record.
    pub(super) fn recall_log(&mut self, level: &str, kept: &Kept) -> Result<bool, ShimError> {
        let act = Act::Log { level, message: &kept.message, dropped: kept.dropped };
        self.recall_other(act)
    }

    /// Whether the agent's end is on record, or is none since the run has been ended.
    pub(super) fn recall_exit(&mut self, exit: &AgentExit) -> Result<bool, ShimError> {
        self.recall_other(Act::Exit { exit, fuel: true })
    }

    fn recall_other(&mut self, act: Act<'_>) -> Result<bool, ShimError> {
        match self.recall(act)? {
            Recalled::Live => Ok(false),
            Recalled::Ended => Ok(true),
            Recalled::Same => {
                if let Some(script) = &mut self.script {
                    script.pass();
                }
                Ok(true)
            }
        }
    }

    fn recall(&mut self, act: Act<'_>) -> Result<Recalled, ShimError> {
        let Some(script) = &mut self.script else { return Ok(Recalled::Live) };
        let bundle = self.decider.bundle();
        let found = script.peek().map(|step| match step {
            Step::End { .. } => None,
            step => Some(differs(step, act).map(|divergence| {
                // It goes into the record, in the open: nothing that the policy keeps out of it.
                let recorded = matches!(step, Step::Call(asked) if bundle.is_private(&asked.call.tool));
                let now = matches!(act, Act::Call { tool, .. } if bundle.is_private(tool));
                if recorded || now { of_private(&divergence) } else { told(&divergence) }
            })),
        });
        match found {
            Ok(None) => {
                self.catch_up();
                Ok(Recalled::Live)
            }
            Ok(Some(None)) => Ok(Recalled::Same),
            Ok(Some(Some(why))) => self.stray(&why).map(|()| Recalled::Ended),
            Err(error) => self.stray(&error.to_string()).map(|()| Recalled::Ended),
        }
    }

    /// All that is recorded has been done again.
    fn catch_up(&mut self) {
        let Some(script) = self.script.take() else { return };
        self.next_cell = self.next_cell.max(script.cells().saturating_add(1));
        let (left, last) = script.approvals();
        self.approvals.resume(left, last);
        self.before = since(&script);
        self.born = Instant::now();
    }

    /// The agent does something else than it did, so that what it did cannot be built upon.
    fn stray(&mut self, why: &str) -> Result<(), ShimError> {
        self.script = None;
        self.condemn(&format!("not resumed: {why}"))
    }

    /// An effect may have happened, or a part of it: it is not repeated, and the agent is told so.
    fn unknown(&mut self, id: u64) -> Result<(), ShimError> {
        let message = "a crash came before the end of this call: it may have been done, in part or not at all, and it was not repeated";
        let answer = Answer::error(Status::Failed, "outcome_unknown", message);
        let body = Payload::Inline(answer.body.clone());
        let outcome = Outcome { id, status: "unknown".to_owned(), body, micros: 0 };
        self.ledger.append(Record::Result(outcome))?;
        self.ledger.commit()?;
        let status = answer.status;
        self.send_reply(id, status, false, answer.into_text())
    }
}

/// How long ago the run began. A clock that was set back since makes it less, never negative.
fn since(script: &Script) -> Duration {
    let begun = Duration::from_micros(u64::try_from(script.begun()).unwrap_or(0));
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(begun).saturating_sub(begun)
}

fn told(divergence: &Divergence) -> String {
    let Divergence { seq, what, recorded, now } = divergence;
    let both: Value = json!({ "recorded": recorded, "now": now });
    format!("the agent does not do what it did at record {seq} ({what}): {both}")
}

/// [`told`], where either side's arguments are private.
fn of_private(divergence: &Divergence) -> String {
    let Divergence { seq, what, .. } = divergence;
    format!("the agent does not do what it did at record {seq} ({what}): what that is, the policy keeps private")
}

/// For a failed dup(2).
pub(super) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
}
