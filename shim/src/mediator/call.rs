//! The way of a call: parse, validate, decide, record the intent, act, record the outcome, answer.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stockade_journal::{Call, Outcome, Payload, Record};
use stockade_policy::{Denial, Effect, Facts, Grant, NOBODY_TO_ASK, Question, Tool, ToolCall, Verdict};
use stockade_wire::control::ToSupervisor;
use stockade_wire::frame::Status;

use super::Mediator;
use super::flight::{Flight, Origin};
use crate::answer::Answer;
use crate::error::ShimError;
use crate::exec::{MAX_TOOLS, ToolRun};
use crate::json::parse;
use crate::tools::{Inputs, perform};

/// Calls over the policy's number that get records of their own; the rest is counted.
pub(crate) const OVER_SHOWN: u64 = 16;

/// Longest arguments in bytes; `workspace.write` of the largest content as base64 fits.
const MAX_ARGS: usize = 2 * 1024 * 1024;

/// What came of looking at a call.
pub(super) enum Decision {
    /// Do it; and who approved it, if somebody had to.
    Granted(Grant, Inputs, Option<String>),
    /// Have a person asked.
    Asks(Question),
    /// Don't; what the record says and what the agent is answered.
    Refused(Denial, Answer),
}

/// A call as it came.
pub(super) struct Asked<'a> {
    pub id: u64,
    pub origin: Origin,
    /// Fuel that a wasm agent had used.
    pub fuel: Option<u64>,
    pub tool: &'a str,
    /// The arguments, not parsed.
    pub text: &'a [u8],
}

impl Mediator {
    /// Serves one call, up to its answer or, for `exec`, up to the launch.
    pub(super) fn call(&mut self, asked: &Asked<'_>) -> Result<(), ShimError> {
        let allowed = self.decider.bundle().calls;
        let over = self.calls.decided >= allowed;
        if !over && self.park(asked)? {
            return Ok(());
        }
        let begun = Instant::now();
        self.flights.take_off(asked.id, Flight { origin: asked.origin, begun, tool: asked.tool.to_owned(), raw: None });
        // Who recalls a call counts it.
        if !(over && self.calls.over >= OVER_SHOWN) && self.recall_call(asked, over)? {
            return Ok(());
        }
        if over {
            return self.over_limit(asked, allowed);
        }
        let Asked { tool, text, .. } = *asked;
        self.calls.decided += 1;
        let args = bounded(text);
        let decision = match &args {
            Ok(args) => self.decide(tool, args, begun),
            Err(problem) => self.invalid(tool, problem),
        };
        self.rates.count(Some(tool).filter(|tool| self.decider.knows(tool)), self.moment(begun));
        let args = args.unwrap_or_else(|_| digest(text));
        match decision {
            Decision::Asks(question) => self.ask(asked, args, question),
            decided => self.settle(asked, args, decided),
        }
    }

    /// Records a decided call, does it if it is granted, and answers it. To be asked is not to be decided.
    pub(super) fn settle(&mut self, asked: &Asked<'_>, args: Value, decision: Decision) -> Result<(), ShimError> {
        let id = asked.id;
        match decision {
            Decision::Asks(question) => self.settle(asked, args, refused(question.refused(NOBODY_TO_ASK))),
            Decision::Refused(denial, answer) => {
                self.record_call(asked, args, Err(&denial))?;
                self.answer(id, answer)
            }
            Decision::Granted(grant, inputs, approved) => {
                // What was decided on is what a server gets, in one spelling and on one line.
                let forwarded = if grant.call().tool().is_none() { args.to_string() } else { String::new() };
                self.record_call(asked, args, Ok((&grant, approved)))?;
                // From here on the intent of whatever changes something outlives a crash.
                if grant.call().effect() != Effect::Read {
                    self.ledger.commit()?;
                }
                if let ToolCall::Exec { argv, timeout_ms } = grant.call() {
                    return self.launch(id, &grant, argv, *timeout_ms);
                }
                if let ToolCall::Mcp { server, tool } = grant.call() {
                    return self.call_server(id, server, tool, &forwarded);
                }
                let offered = || self.decider.offered(|server, tool| self.servers.lives(server.name(), tool.name()));
                let answer = perform(&grant, &inputs, self.workspace.as_ref(), offered);
                self.answer(id, answer)
            }
        }
    }

    /// Decides a call. Nothing is done yet.
    pub(super) fn decide(&mut self, tool: &str, args: &Value, now: Instant) -> Decision {
        if let Some(frozen) = self.frozen(tool) {
            return frozen;
        }
        if let Some(denial) = self.drifted(tool) {
            return refused(denial);
        }
        let moment = self.moment(now);
        let facts = Facts { calls: self.rates.counts(Some(tool), moment), ..facts() };
        match self.decider.decide(&stockade_policy::Request { tool, args, facts }) {
            Verdict::Deny(denial) => refused(denial),
            Verdict::Ask(question) => match Inputs::of(question.call(), args) {
                // Nobody is asked about what could not be done.
                Ok(_) => Decision::Asks(question),
                Err(problem) => self.invalid(tool, &problem),
            },
            Verdict::Allow(grant) => self.granted(grant, tool, args),
        }
    }

    /// A grant with all it takes to act on it.
    pub(super) fn granted(&self, grant: Grant, tool: &str, args: &Value) -> Decision {
        match (Inputs::of(grant.call(), args), self.over_concurrent(tool)) {
            (Err(problem), _) => self.invalid(tool, &problem),
            (Ok(_), Some(refused)) => refused,
            (Ok(inputs), None) => Decision::Granted(grant, inputs, None),
        }
    }

    /// The refusal of a call that is one too many at this time.
    fn over_concurrent(&self, tool: &str) -> Option<Decision> {
        let bundle = self.decider.bundle();
        // This call is in flight itself.
        let others = |count: usize| (count as u64).saturating_sub(1);
        let (same, all) = (self.flights.of(|asked| asked == tool).len(), self.flights.len());
        let limit = bundle.over_concurrent(tool, others(same), others(all))?;
        let denial = Denial::over_concurrent(bundle, tool, limit);
        let answer = Answer::error(Status::Limit, "concurrent", &denial.reason);
        Some(Decision::Refused(denial, answer))
    }

    fn invalid(&self, tool: &str, problem: &str) -> Decision {
        refused(Denial::of("schema", object(tool), problem.to_owned(), &self.decider.bundle().digest))
    }

    fn over_limit(&mut self, asked: &Asked<'_>, allowed: u64) -> Result<(), ShimError> {
        let Asked { id, tool, text, .. } = *asked;
        self.calls.over += 1;
        let answer = over_limit(allowed);
        if self.calls.over > OVER_SHOWN {
            // An agent that goes on asking fills a counter, not a disk.
            self.calls.over_unrecorded += 1;
            return self.reply(id, answer);
        }
        let denial = Denial::over_calls(self.decider.bundle(), object(tool));
        self.record_call(asked, digest(text), Err(&denial))?;
        self.answer(id, answer)
    }

    fn record_call(
        &mut self,
        asked: &Asked<'_>,
        args: Value,
        decided: Result<(&Grant, Option<String>), &Denial>,
    ) -> Result<(), ShimError> {
        let tool = asked.tool;
        let denial = decided.as_ref().err().map(|denial| denial.record());
        let (decision, rules, reason, layer) = match decided {
            Ok((grant, None)) => ("allow", grant.rules().to_vec(), grant.reason().to_owned(), "policy"),
            Ok((grant, Some(approval))) => {
                ("allow", grant.rules().to_vec(), format!("{approval}; {}", grant.reason()), "approval")
            }
            Err(denial) => ("deny", denial.rule.iter().cloned().collect(), denial.to_string(), denial.layer),
        };
        let args = if self.decider.bundle().is_private(tool) {
            self.calls.private.insert(asked.id);
            self.ledger.private(args)?
        } else {
            Payload::Inline(args)
        };
        // What an unknown tool would do is unknown: the widest class.
        let effect = Tool::from_name(tool).map_or("remote", |tool| tool.effect().name());
        self.ledger.append(Record::Call(Call {
            id: asked.id,
            fuel: asked.fuel,
            tool: tool.to_owned(),
            args,
            effect: effect.to_owned(),
            decision: decision.to_owned(),
            rules,
            reason,
            layer: layer.to_owned(),
            policy_digest: self.decider.bundle().digest.clone(),
            denial,
        }))
    }

    /// Asks for the tool cell of a granted and recorded `exec`.
    fn launch(&mut self, id: u64, grant: &Grant, argv: &[String], timeout_ms: Option<u64>) -> Result<(), ShimError> {
        let bundle = self.decider.bundle();
        let rule = grant.exec().and_then(|exec| bundle.exec.iter().find(|rule| rule.id == exec));
        let Some(rule) = rule else {
            let answer = Answer::error(Status::Failed, "internal", "the grant names no command of the policy");
            return self.answer(id, answer);
        };
        if self.tools.len() >= MAX_TOOLS {
            let message = format!("{MAX_TOOLS} commands run already; wait for one to end");
            return self.answer(id, Answer::error(Status::Limit, "concurrent", &message));
        }
        let most = bundle.tool_wall(Tool::Exec.name()).map_or(rule.wall_ms, |most| most.min(rule.wall_ms));
        let wall = Duration::from_millis(timeout_ms.map_or(most, |ms| ms.min(most)));
        let (exec, output) = (rule.id.clone(), bundle.output);
        let cell = self.new_cell()?;
        self.tools.insert(cell, ToolRun::new(id, wall, output, Instant::now()));
        Ok(self.control.send(&ToSupervisor::LaunchTool { cell, exec, argv: argv.to_vec() })?)
    }

    /// Records an outcome and answers the call.
    pub(super) fn answer(&mut self, id: u64, answer: Answer) -> Result<(), ShimError> {
        if answer.status == Status::Denied || answer.status == Status::Invalid {
            self.calls.denied += 1;
        }
        let lasted = self.flights.begun(id).map_or(Duration::ZERO, |begun| begun.elapsed());
        let micros = u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX);
        let status = answer.status_name().to_owned();
        let body = answer.body.clone();
        let body =
            if self.calls.private.remove(&id) { self.ledger.private_answer(body)? } else { Payload::Inline(body) };
        self.ledger.append(Record::Result(Outcome { id, status, body, micros }))?;
        self.reply(id, answer)
    }

    fn reply(&mut self, id: u64, answer: Answer) -> Result<(), ShimError> {
        let status = answer.status;
        self.send_reply(id, status, false, answer.into_text())
    }

    pub(super) fn send_reply(
        &mut self,
        id: u64,
        status: Status,
        recorded: bool,
        body: Vec<u8>,
    ) -> Result<(), ShimError> {
        let Some(flight) = self.flights.land(id) else { return Ok(()) };
        match flight.origin {
            Origin::Channel => self.reply_to_cell(id, status, recorded, body),
            Origin::Mcp { session, request } => {
                self.reply_to_agent((session, request), status, flight.raw.as_deref(), &body);
                Ok(())
            }
        }
    }

    fn reply_to_cell(&mut self, id: u64, status: Status, recorded: bool, body: Vec<u8>) -> Result<(), ShimError> {
        // The channel may have been closed while a tool ran.
        let Some(channel) = &mut self.channel else { return Ok(()) };
        match channel.reply(id, status, recorded, body) {
            Ok(()) => Ok(()),
            Err(error) => self.channel_failed(error),
        }
    }
}

/// What is true now, but for the calls before.
pub(super) fn facts() -> Facts {
    // A clock before 1970 is told as 1970.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Facts { approved: false, now, ..Facts::default() }
}

/// What a call over `limits.calls` is answered.
pub(crate) fn over_limit(allowed: u64) -> Answer {
    Answer::error(Status::Limit, "calls", &Denial::over_calls_reason(allowed))
}

/// The arguments of a call as they are recorded: those of one that is over `limits.calls` are not taken.
pub(crate) fn recorded_args(text: &[u8], over: bool) -> Value {
    match bounded(text) {
        Ok(args) if !over => args,
        _ => digest(text),
    }
}

pub(super) fn bounded(text: &[u8]) -> Result<Value, String> {
    if text.len() > MAX_ARGS {
        return Err(format!("arguments of {} bytes; allowed are {MAX_ARGS}", text.len()));
    }
    parse(text).map_err(|e| format!("arguments are not JSON as it is taken here: {e}"))
}

pub(super) fn refused(denial: Denial) -> Decision {
    let answer = match denial.layer {
        // What does not fit names no file, and is nothing a policy could change.
        "schema" => Answer::invalid(&denial.reason),
        _ => Answer { status: Status::Denied, body: denial.for_agent() },
    };
    Decision::Refused(denial, answer)
}

/// A name that may be no tool's, as a denial's object.
pub(super) fn object(tool: &str) -> String {
    tool.chars().take(128).collect()
}

/// What stands for arguments that were not taken: enough to recognise them.
fn digest(text: &[u8]) -> Value {
    let hash: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    let head = String::from_utf8_lossy(text.get(..text.len().min(256)).unwrap_or_default());
    json!({ "unparsed": { "bytes": text.len(), "sha256": hash, "head": head } })
}
