//! What a record says, in few words, for schemas that want a message and a severity.

use serde_json::Value;
use stockade_journal::{Entry, Payload, Record};

use super::Under;

/// Longest arguments in a message, in characters.
const ARGS: usize = 512;

/// How much a record matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// As it should be.
    Info,
    /// Worth a look.
    Warn,
    /// Denied, or failed.
    Error,
}

/// One line about a record.
#[must_use]
pub fn message(entry: &Entry, under: Option<&Under>) -> String {
    match &entry.record {
        Record::Start(start) => format!("{} agent {} launched under policy {}", start.kind, start.agent, start.policy),
        Record::Call(call) if call.decision == "allow" => {
            format!("allowed {} {}: {}", call.tool, arguments(&call.args), call.reason)
        }
        Record::Call(call) => format!("denied {} {}: {}", call.tool, arguments(&call.args), call.reason),
        Record::Result(outcome) => match under {
            Some(under) => format!("{} ended: {}", under.call.tool, outcome.status),
            None => format!("call {} ended: {}", outcome.id, outcome.status),
        },
        Record::Syscall(call) => format!("denied system call {}: {}", call.name, call.errno),
        Record::Approval(approval) => {
            format!(
                "approval {} {}: {} {}: {}",
                approval.id, approval.state, approval.tool, approval.object, approval.reason
            )
        }
        Record::Log { message, .. } => message.clone(),
        Record::Lifecycle { event, detail } => match detail.get("reason").and_then(Value::as_str) {
            Some(reason) => format!("{event}: {reason}"),
            None => event.clone(),
        },
        Record::Recovered { cut_bytes, .. } => format!("{cut_bytes} bytes of a line that a crash tore were cut off"),
        Record::Tombstone { .. } => format!("record {} was pruned", entry.seq),
    }
}

/// How much a record matters.
#[must_use]
pub fn weight(record: &Record) -> Weight {
    match record {
        Record::Call(call) if call.decision != "allow" => Weight::Error,
        Record::Result(outcome) if outcome.status != "ok" => Weight::Warn,
        Record::Syscall(_) => Weight::Error,
        Record::Log { level, .. } => match level.as_str() {
            "error" => Weight::Error,
            "warn" => Weight::Warn,
            _ => Weight::Info,
        },
        Record::Lifecycle { event, detail } => {
            let reason = detail.get("reason").and_then(Value::as_str);
            let ended = event == "exit" && reason.is_some_and(|reason| reason != "finished");
            if ended || ["refused", "killed", "failed", "limit"].iter().any(|word| event.contains(word)) {
                Weight::Error
            } else {
                Weight::Info
            }
        }
        Record::Approval(approval) if approval.state == "approved" => Weight::Info,
        Record::Recovered { .. } | Record::Approval(_) => Weight::Warn,
        Record::Start(_) | Record::Call(_) | Record::Result(_) | Record::Tombstone { .. } => Weight::Info,
    }
}

/// Arguments as JSON, or what stands for them.
#[must_use]
pub fn arguments(args: &Payload) -> String {
    match args {
        Payload::Inline(value) => {
            let text = value.to_string();
            match text.char_indices().nth(ARGS) {
                Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
                None => text,
            }
        }
        Payload::Blob { sha256, size } => format!("({size} bytes, SHA-256 {sha256})"),
        Payload::Private { size, .. } => format!("(private, {size} bytes)"),
    }
}
