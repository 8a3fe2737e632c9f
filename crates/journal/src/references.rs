//! Which files beside the segments a record names.

use serde_json::Value;

use crate::record::{Payload, Record};

/// Where such a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// `blobs/`: part of the record.
    Blob,
    /// `private/`: may be gone.
    Private,
}

/// A file as a record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) kind: Kind,
    /// Hex, as in the line: not checked.
    pub(crate) sha256: &'a str,
    /// Bytes of the JSON text.
    pub(crate) size: u64,
}

/// The files that `record` names.
pub(crate) fn references(record: &Record) -> impl Iterator<Item = Reference<'_>> {
    let two = match record {
        Record::Start(start) => [start.enforcement.get("blob").and_then(blob), of_value(&start.settings)],
        Record::Call(call) => [of_payload(&call.args), call.denial.as_ref().and_then(of_value)],
        Record::Result(outcome) => [of_payload(&outcome.body), None],
        Record::Lifecycle { detail, .. } => [of_value(detail), None],
        Record::Recovered { cut_bytes, cut_sha256 } => {
            [Some(Reference { kind: Kind::Blob, sha256: cut_sha256, size: *cut_bytes }), None]
        }
        Record::Approval(approval) => [approval.args.as_ref().and_then(of_payload), None],
        Record::Syscall(_) | Record::Log { .. } | Record::Tombstone { .. } => [None, None],
    };
    let settings = match record {
        Record::Start(start) => Some(&start.settings),
        _ => None,
    };
    two.into_iter().flatten().chain(settings.into_iter().flat_map(of_env))
}

/// The private values of an environment, in settings that stand in the record or, if they are long, in its blob.
pub(crate) fn of_env(settings: &Value) -> impl Iterator<Item = Reference<'_>> {
    let env = settings.get("env").and_then(Value::as_array);
    // Pairs of a name and a value.
    env.into_iter().flatten().filter_map(|pair| private(alone(pair.get(1)?, "private")?))
}

fn of_payload(payload: &Payload) -> Option<Reference<'_>> {
    match payload {
        Payload::Inline(_) => None,
        Payload::Blob { sha256, size } => Some(Reference { kind: Kind::Blob, sha256, size: *size }),
        Payload::Private { sha256, size } => Some(Reference { kind: Kind::Private, sha256, size: *size }),
    }
}

/// `{"blob":{"sha256":…,"size":…}}` and nothing beside it.
pub(crate) fn of_value(value: &Value) -> Option<Reference<'_>> {
    blob(alone(value, "blob")?)
}

/// The member of an object that has no other.
fn alone<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|_| value.as_object().is_some_and(|o| o.len() == 1))
}

fn blob(member: &Value) -> Option<Reference<'_>> {
    of_member(Kind::Blob, member)
}

fn private(member: &Value) -> Option<Reference<'_>> {
    of_member(Kind::Private, member)
}

/// `{"sha256":…,"size":…}` and nothing beside it.
fn of_member(kind: Kind, member: &Value) -> Option<Reference<'_>> {
    let size = member.get("size").filter(|_| member.as_object().is_some_and(|o| o.len() == 2))?.as_u64()?;
    Some(Reference { kind, sha256: member.get("sha256")?.as_str()?, size })
}
