//! Holding what an agent does against what it did.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stockade_journal::{Call, Outcome, Payload, as_message, as_name, hex};
use stockade_wire::control::{AgentExit, Divergence};
use stockade_wire::frame::Status;

use crate::mediator::call::recorded_args;
use crate::script::{Script, ScriptError, Step};

/// Longest value that is shown whole, in bytes of its JSON text.
const SHOWN: usize = 4 * 1024;

/// What an agent does.
#[derive(Debug, Clone, Copy)]
pub enum Act<'a> {
    /// It asks for a tool.
    Call {
        /// Its number for the call.
        id: u64,
        /// Fuel it had used; none is not compared.
        fuel: Option<u64>,
        /// The tool.
        tool: &'a str,
        /// The arguments, not parsed.
        text: &'a [u8],
        /// The call is over `limits.calls`, so that its arguments are not taken.
        over: bool,
    },
    /// It logs a line.
    Log {
        /// Severity.
        level: &'a str,
        /// What is kept of it.
        message: &'a str,
        /// Bytes cut.
        dropped: u64,
    },
    /// It ends.
    Exit {
        /// Its own account.
        exit: &'a AgentExit,
        /// Fuel is compared.
        fuel: bool,
    },
}

/// Holds an act against a recorded step. Nothing is recorded after [`Step::End`], so that nothing differs from it.
#[must_use]
pub fn differs(step: &Step, act: Act<'_>) -> Option<Divergence> {
    let differ = |what: &str, recorded: Value, now: Value| {
        (recorded != now).then(|| Divergence {
            seq: step.seq(),
            what: what.to_owned(),
            recorded: shown(recorded),
            now: shown(now),
        })
    };
    match (step, act) {
        (Step::Call(asked), Act::Call { id, fuel, tool, text, over }) => {
            let Call { id: known, fuel: used, tool: name, args, .. } = &asked.call;
            let now = recorded_args(text, over);
            differ("tool", json!(name), json!(as_name(tool.to_owned())))
                .or_else(|| {
                    let same = is_value(args, &now);
                    let recorded = serde_json::to_value(args).unwrap_or_default();
                    (!same).then(|| Divergence {
                        seq: step.seq(),
                        what: "arguments".to_owned(),
                        recorded: shown(recorded.get("inline").cloned().unwrap_or(recorded)),
                        now: shown(now),
                    })
                })
                .or_else(|| used.zip(fuel).and_then(|(used, fuel)| differ("fuel", json!(used), json!(fuel))))
                .or_else(|| differ("id", json!(known), json!(id)))
        }
        (Step::Log { level: known, message: text, dropped: cut, .. }, Act::Log { level, message, dropped }) => {
            differ("level", json!(known), json!(level))
                .or_else(|| differ("message", json!(text), json!(as_message(message.to_owned()))))
                .or_else(|| differ("message", json!({ "dropped": cut }), json!({ "dropped": dropped })))
        }
        (Step::Exit { exit: known, .. }, Act::Exit { exit, fuel }) => differ(
            "end",
            json!({ "reason": known.reason, "detail": known.detail }),
            json!({ "reason": exit.reason, "detail": exit.detail }),
        )
        .or_else(|| if fuel { differ("fuel", json!(known.fuel), json!(exit.fuel)) } else { None }),
        (Step::End { .. }, _) => None,
        (_, act) => differ("action", of_step(step), of_act(act)),
    }
}

/// Whether a payload stands for a value, without reading its file.
fn is_value(payload: &Payload, value: &Value) -> bool {
    let mut value = value.clone();
    value.sort_all_objects();
    match payload {
        Payload::Inline(known) => *known == value,
        Payload::Blob { sha256, .. } => {
            let text = serde_json::to_vec(&value).unwrap_or_default();
            hex(&Sha256::digest(&text)) == *sha256
        }
        // A script has read what is private.
        Payload::Private { .. } => false,
    }
}

/// A step for an operator.
#[must_use]
pub fn of_step(step: &Step) -> Value {
    match step {
        Step::Call(asked) => {
            let args = serde_json::to_value(&asked.call.args).unwrap_or_default();
            let args = args.get("inline").cloned().unwrap_or(args);
            json!({ "call": { "tool": asked.call.tool, "args": shown(args), "fuel": asked.call.fuel } })
        }
        Step::Log { level, message, .. } => json!({ "log": { "level": level, "message": shown(json!(message)) } }),
        Step::Exit { exit, .. } => {
            json!({ "exit": { "reason": exit.reason, "detail": shown(json!(exit.detail)), "fuel": exit.fuel } })
        }
        Step::End { because, .. } => json!({ "nothing": because }),
    }
}

fn of_act(act: Act<'_>) -> Value {
    match act {
        Act::Call { fuel, tool, text, over, .. } => {
            json!({ "call": { "tool": tool, "args": shown(recorded_args(text, over)), "fuel": fuel } })
        }
        Act::Log { level, message, .. } => json!({ "log": { "level": level, "message": shown(json!(message)) } }),
        Act::Exit { exit, .. } => {
            json!({ "exit": { "reason": exit.reason, "detail": shown(json!(exit.detail)), "fuel": exit.fuel } })
        }
    }
}

/// A value for an operator: what is too long is told by its size, its digest and its beginning.
#[must_use]
pub fn shown(value: Value) -> Value {
    let text = serde_json::to_string(&value).unwrap_or_default();
    if text.len() <= SHOWN {
        return value;
    }
    let head: String = text.chars().take(256).collect();
    json!({ "bytes": text.len(), "sha256": hex(&Sha256::digest(&text)), "head": head })
}

/// The answer that an outcome stands for, as the agent got it.
///
/// # Errors
/// [`ScriptError`]
pub fn answer(script: &Script, seq: u64, outcome: &Outcome) -> Result<(Status, Vec<u8>), ScriptError> {
    let status = match outcome.status.as_str() {
        "ok" => Status::Ok,
        "denied" => Status::Denied,
        "invalid" => Status::Invalid,
        "limit" => Status::Limit,
        // The agent is not told of crashes in another way than of failures.
        "failed" | "unknown" => Status::Failed,
        other => {
            let what = format!("the result of call {} has the status {other:?}", outcome.id);
            return Err(ScriptError::Order { seq, what });
        }
    };
    let body = script.value(seq, outcome.body.clone())?;
    Ok((status, serde_json::to_vec(&body).unwrap_or_default()))
}
