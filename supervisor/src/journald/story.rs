//! Which records are told, and in which fields.

use stockade_journal::{Call, Record, Syscall};

use super::entry::Entry;

/// `MESSAGE_ID` of a decision on a tool call, of one on a system call, and of a signed head.
const CALL: &str = "0fb22440577f46dab2b0ad0b13ebeeba";
const SYSCALL: &str = "6e22390aa48146b0bd21310b73ba884b";
const HEAD: &str = "27ab2bca0dad4df18d8c9a956dafb183";
/// Levels of syslog(3).
const NOTICE: u8 = 5;
const INFO: u8 = 6;

/// The agent's name, if the record has it.
pub(super) fn agent(record: &Record) -> Option<&str> {
    match record {
        Record::Start(start) => Some(&start.agent),
        _ => None,
    }
}

/// What is told of a record; `None` if it is no decision.
pub(super) fn decision(run: &str, agent: &str, entry: &stockade_journal::Entry) -> Option<Entry> {
    let mut told = match &entry.record {
        Record::Call(call) => of_call(run, agent, call),
        Record::Syscall(syscall) => of_syscall(run, agent, syscall),
        _ => return None,
    };
    told.field("STOCKADE_SEQ", &entry.seq.to_string());
    told.field("STOCKADE_TIME", &entry.time);
    Some(told)
}

fn of_call(run: &str, agent: &str, call: &Call) -> Entry {
    let level = if call.decision == "allow" { INFO } else { NOTICE };
    let message = format!("run {run} ({agent}): {} {}: {}", call.decision, call.tool, call.reason);
    let mut told = of_run(CALL, level, &message, run, agent);
    told.field("STOCKADE_CALL", &call.id.to_string());
    told.field("STOCKADE_TOOL", &call.tool);
    told.field("STOCKADE_EFFECT", &call.effect);
    told.field("STOCKADE_DECISION", &call.decision);
    told.field("STOCKADE_LAYER", &call.layer);
    told.field("STOCKADE_POLICY_DIGEST", &call.policy_digest);
    for rule in &call.rules {
        told.field("STOCKADE_RULE", rule);
    }
    told
}

fn of_syscall(run: &str, agent: &str, syscall: &Syscall) -> Entry {
    let Syscall { name, verdict, errno, repeated, .. } = syscall;
    let times = if *repeated > 0 { format!(", and {repeated} times more") } else { String::new() };
    let message = format!("run {run} ({agent}): {verdict} system call {name} ({errno}){times}");
    let mut told = of_run(SYSCALL, NOTICE, &message, run, agent);
    told.field("STOCKADE_SYSCALL", name);
    told.field("STOCKADE_DECISION", verdict);
    told.field("STOCKADE_REPEATED", &repeated.to_string());
    if let Some(call) = syscall.call {
        told.field("STOCKADE_CALL", &call.to_string());
    }
    told
}

/// A signed head: whoever keeps it elsewhere can tell if the journal is shortened or changed later.
pub(super) fn head(run: &str, agent: &str, size: u64, checkpoint: &str) -> Entry {
    let message = format!("run {run} ({agent}): head of {size} records signed");
    let mut told = of_run(HEAD, INFO, &message, run, agent);
    told.field("STOCKADE_SIZE", &size.to_string());
    told.field("STOCKADE_CHECKPOINT", checkpoint);
    told
}

fn of_run(id: &str, level: u8, message: &str, run: &str, agent: &str) -> Entry {
    let mut told = Entry::new(id, level, message);
    told.field("STOCKADE_RUN", run);
    told.field("STOCKADE_AGENT", agent);
    told
}
