//! Which records are asked for.

use stockade_journal::{Entry, Record, parse_time};

use super::{Glob, Under};
use crate::moment::Moment;

/// What a record must be to be shown; what is absent is not asked about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Calls of these tools, their results, and system calls that were made during them.
    pub tool: Option<Glob>,
    /// `allow` or `deny`, of calls and system calls.
    pub decision: Option<String>,
    /// A rule that decided a call.
    pub rule: Option<String>,
    /// Not before.
    pub since: Option<Moment>,
    /// Before.
    pub until: Option<Moment>,
    /// Hex, in the record or its own hash.
    pub digest: Option<String>,
    /// What became of a call.
    pub status: Option<String>,
    /// Kinds of record.
    pub kinds: Vec<String>,
}

impl Filter {
    /// Whether a record is asked for. `hash` is its hash in hex, `bytes` its line, `under` the call it belongs to.
    #[must_use]
    pub fn matches(&self, entry: &Entry, bytes: &[u8], hash: impl FnOnce() -> String, under: Option<&Under>) -> bool {
        let kind = kind(&entry.record);
        (self.kinds.is_empty() || self.kinds.iter().any(|asked| asked == kind))
            && self.time(&entry.time)
            && self.tool.as_ref().is_none_or(|glob| tool(&entry.record, under).is_some_and(|tool| glob.matches(tool)))
            && self.status.as_ref().is_none_or(|asked| matches!(&entry.record, Record::Result(r) if r.status == *asked))
            && self.decides(&entry.record, under)
            && self.digest.as_ref().is_none_or(|digest| names(bytes, digest) || hash().starts_with(digest.as_str()))
    }

    fn time(&self, time: &str) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let time = parse_time(time).map_or(Moment(0), Moment);
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// A result has the decision of its call, which is another record: it counts only where results are asked for.
    fn decides(&self, record: &Record, under: Option<&Under>) -> bool {
        if self.decision.is_none() && self.rule.is_none() {
            return true;
        }
        let (decision, rules) = match (record, under) {
            (Record::Call(call), _) => (&call.decision, call.rules.as_slice()),
            (Record::Syscall(syscall), _) => (&syscall.verdict, [].as_slice()),
            (Record::Result(_), Some(Under { call, .. })) if self.status.is_some() || !self.kinds.is_empty() => {
                (&call.decision, call.rules.as_slice())
            }
            _ => return false,
        };
        self.decision.as_ref().is_none_or(|asked| asked == decision)
            && self.rule.as_ref().is_none_or(|asked| rules.contains(asked))
    }
}

fn tool<'a>(record: &'a Record, under: Option<&'a Under>) -> Option<&'a str> {
    match record {
        Record::Call(call) => Some(&call.tool),
        Record::Approval(approval) => Some(&approval.tool),
        _ => under.map(|under| under.call.tool.as_str()),
    }
}

/// A record's `type`.
#[must_use]
pub fn kind(record: &Record) -> &'static str {
    match record {
        Record::Start(_) => "start",
        Record::Call(_) => "call",
        Record::Result(_) => "result",
        Record::Syscall(_) => "syscall",
        Record::Approval(_) => "approval",
        Record::Log { .. } => "log",
        Record::Lifecycle { .. } => "lifecycle",
        Record::Recovered { .. } => "recovered",
        Record::Tombstone { .. } => "tombstone",
    }
}

/// Whether the line has `digest` after its first fields: `prev` is the record before, and not this one.
fn names(bytes: &[u8], digest: &str) -> bool {
    let own = bytes.windows(8).position(|part| part == b"\"type\":\"").unwrap_or(0);
    bytes.get(own..).is_some_and(|own| own.windows(digest.len()).any(|part| part == digest.as_bytes()))
}
