//! Calls that wait for a person. The call waits, and nothing else does.
//!
//! An approval is bound to the canonical action's digest, is used once, and expires; silence denies. Its steps are
//! recorded, durably, before they count, so that a run that goes on after a crash knows which questions were asked and
//! which answers were not used yet. The call itself is recorded when it is decided, like any other.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use stockade_journal::{Approval as Step, Payload, Record, format_time, parse_time};
use stockade_policy::{Approval, Question};
use stockade_wire::control::ToSupervisor;
use stockade_wire::operator::{MAX_PENDING, Operator, Pending};

use super::Mediator;
use super::call::{Asked, Decision, refused};
use super::flight::Origin;
use crate::error::ShimError;
use crate::recall::shown;

/// Why nobody can be asked, in words that an agent may see.
const HEADLESS: &str = "the call needs an approval, and the run was started with nobody to give one";
const MANY: &str = "the call needs an approval, and too many calls wait for one";
const SAID_NO: &str = "the call needs an approval, and the operator denied it";
const SILENCE: &str = "the call needs an approval, and nobody gave one in time";

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    waiting: Vec<Waiting>,
    /// Number of the last.
    last: u64,
    /// What a run before left open: asked and not answered, or answered and not used.
    left: Vec<Step>,
}

/// One call that waits.
#[derive(Debug)]
struct Waiting {
    number: u64,
    call: u64,
    origin: Origin,
    fuel: Option<u64>,
    tool: String,
    args: Value,
    question: Question,
    /// [`Question::hash`]; empty in records if the arguments are private.
    action: String,
    due: Instant,
}

impl Approvals {
    /// Takes over what a run before left open.
    pub(super) fn resume(&mut self, left: Vec<Step>, last: u64) {
        self.left = left;
        self.last = last;
    }

    /// When silence becomes a denial next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    fn take(&mut self, which: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let at = self.waiting.iter().position(which)?;
        Some(self.waiting.remove(at))
    }

    /// What a run before left open of the same call. Of private arguments no digest is on record, so that they are
    /// asked about again.
    fn take_left(&mut self, call: u64, action: &str) -> Option<Step> {
        let at = self.left.iter().position(|step| step.call == call && step.action == action)?;
        Some(self.left.swap_remove(at))
    }
}

impl Waiting {
    fn asked(&self) -> Asked<'_> {
        Asked { id: self.call, origin: self.origin, fuel: self.fuel, tool: &self.tool, text: b"" }
    }
}

impl Mediator {
    /// Has a call wait, or refuses it at once if there is nobody to ask.
    pub(super) fn ask(&mut self, asked: &Asked<'_>, args: Value, question: Question) -> Result<(), ShimError> {
        let Some(patience) = self.setup.approvals else {
            return self.settle(asked, args, refused(question.refused(HEADLESS)));
        };
        if self.approvals.waiting.len() >= MAX_PENDING {
            return self.settle(asked, args, refused(question.refused(MANY)));
        }
        let left = self.approvals.take_left(asked.id, question.hash());
        let now = since_epoch();
        let until = match &left {
            Some(step) => parse_time(&step.expires).map_or(now, |micros| Duration::from_micros(micros.unsigned_abs())),
            None => now + Duration::from_millis(patience),
        };
        let number = match &left {
            Some(step) => step.id,
            None => {
                self.approvals.last += 1;
                self.approvals.last
            }
        };
        let waiting = Waiting {
            number,
            call: asked.id,
            origin: asked.origin,
            fuel: asked.fuel,
            tool: asked.tool.to_owned(),
            args,
            action: question.hash().to_owned(),
            question,
            due: Instant::now() + until.saturating_sub(now),
        };
        match left.as_ref().map(|step| step.state.as_str()) {
            // Given before the crash, and not used.
            Some("approved") if until > now => return self.approved(waiting, None),
            Some("denied") => return self.refuse_waiting(waiting, SAID_NO),
            Some("asked") if until > now => {}
            Some(_) => return self.expired(waiting),
            None => {
                let private = self.decider.bundle().is_private(asked.tool);
                let args = match private {
                    true => self.ledger.private(waiting.args.clone())?,
                    false => Payload::Inline(waiting.args.clone()),
                };
                let step = Step {
                    args: Some(args),
                    rules: waiting.question.rules().to_vec(),
                    expires: i64::try_from(until.as_micros()).ok().and_then(format_time).unwrap_or_default(),
                    ..self.step(&waiting, "asked", waiting.question.reason(), None)
                };
                self.ledger.append(Record::Approval(Box::new(step)))?;
                self.ledger.commit()?;
            }
        }
        let pending = Pending {
            approval: waiting.number,
            call: waiting.call,
            tool: waiting.tool.clone(),
            object: waiting.question.call().object(),
            args: members_shown(&waiting.args),
            action: waiting.action.clone(),
            rules: waiting.question.rules().to_vec(),
            reason: waiting.question.reason().to_owned(),
            expires: until.as_secs(),
        };
        self.approvals.waiting.push(waiting);
        Ok(self.control.send(&ToSupervisor::Asks(pending))?)
    }

    /// An operator's answer.
    pub(super) fn answer_question(
        &mut self,
        number: u64,
        action: &str,
        approve: bool,
        by: &Operator,
    ) -> Result<Result<String, String>, ShimError> {
        let Some(waiting) = self.approvals.take(|waiting| waiting.number == number) else {
            return Ok(Err(format!(
                "approval {number} does not wait: it was answered, it has expired, or it never was"
            )));
        };
        if waiting.action != action {
            let told = format!("approval {number} is for another action than the one that was looked at");
            self.approvals.waiting.push(waiting);
            return Ok(Err(told));
        }
        let what = format!("{} {}", waiting.tool, waiting.question.call().object());
        let state = if approve { "approved" } else { "denied" };
        let step = self.step(&waiting, state, &by.note, Some(by));
        self.ledger.append(Record::Approval(Box::new(step)))?;
        // An answer that a crash could take back is none.
        self.ledger.commit()?;
        match approve {
            true => self.approved(waiting, Some(by))?,
            false => self.refuse_waiting(waiting, SAID_NO)?,
        }
        Ok(Ok(format!("{state}: {what}")))
    }

    /// Refuses what has waited too long.
    pub(super) fn expire(&mut self, now: Instant) -> Result<(), ShimError> {
        while let Some(waiting) = self.approvals.take(|waiting| waiting.due <= now) {
            self.expired(waiting)?;
        }
        Ok(())
    }

    /// Refuses waiting calls that `which` chooses by their tool, for a reason of the operator's; how many.
    pub(super) fn withdraw(&mut self, which: impl Fn(&str) -> bool, why: &str) -> Result<u64, ShimError> {
        let mut count = 0;
        while let Some(waiting) = self.approvals.take(|waiting| which(&waiting.tool)) {
            let step = self.step(&waiting, "withdrawn", why, None);
            self.ledger.append(Record::Approval(Box::new(step)))?;
            self.refuse_waiting(waiting, why)?;
            count += 1;
        }
        Ok(count)
    }

    /// The same of one call, for which its agent does not wait any more.
    pub(super) fn withdraw_call(&mut self, call: u64, why: &str) -> Result<(), ShimError> {
        let Some(waiting) = self.approvals.take(|waiting| waiting.call == call) else { return Ok(()) };
        let step = self.step(&waiting, "withdrawn", why, None);
        self.ledger.append(Record::Approval(Box::new(step)))?;
        self.refuse_waiting(waiting, why)
    }

    fn expired(&mut self, waiting: Waiting) -> Result<(), ShimError> {
        let step = self.step(&waiting, "expired", "nobody answered in time", None);
        self.ledger.append(Record::Approval(Box::new(step)))?;
        self.refuse_waiting(waiting, SILENCE)
    }

    fn refuse_waiting(&mut self, waiting: Waiting, why: &str) -> Result<(), ShimError> {
        let decision = refused(waiting.question.refused(why));
        self.control.send(&ToSupervisor::Settled { approval: waiting.number })?;
        self.settle(&waiting.asked(), waiting.args.clone(), decision)
    }

    /// Decides an approved call once more, since rules may turn on the hour or on what was called meanwhile, and does it.
    fn approved(&mut self, waiting: Waiting, by: Option<&Operator>) -> Result<(), ShimError> {
        self.control.send(&ToSupervisor::Settled { approval: waiting.number })?;
        let decision = match self.decide(&waiting.tool, &waiting.args, Instant::now()) {
            Decision::Asks(question) => {
                match self.decider.approve(question, &Approval { hash: waiting.action.clone() }) {
                    Ok(grant) => self.granted(grant, &waiting.tool, &waiting.args),
                    Err(denial) => refused(*denial),
                }
            }
            other => other,
        };
        let decision = match decision {
            Decision::Granted(grant, inputs, _) => {
                let who = by.map_or_else(|| "before a restart".to_owned(), |by| format!("by uid {}", by.uid));
                Decision::Granted(grant, inputs, Some(format!("approval {} {who}", waiting.number)))
            }
            other => other,
        };
        self.settle(&waiting.asked(), waiting.args.clone(), decision)
    }

    fn step(&self, waiting: &Waiting, state: &str, reason: &str, by: Option<&Operator>) -> Step {
        let private = self.decider.bundle().is_private(&waiting.tool);
        Step {
            id: waiting.number,
            call: waiting.call,
            state: state.to_owned(),
            tool: waiting.tool.clone(),
            object: waiting.question.call().object(),
            action: if private { String::new() } else { waiting.action.clone() },
            args: None,
            rules: Vec::new(),
            reason: reason.to_owned(),
            expires: String::new(),
            by: by.and_then(|by| serde_json::to_value(by).ok()),
        }
    }
}

/// Each argument for an operator: long ones by size, digest and beginning.
fn members_shown(args: &Value) -> Value {
    match args {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shown(value.clone()))).collect(),
        other => shown(other.clone()),
    }
}

fn since_epoch() -> Duration {
    // A clock before 1970 is told as 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
