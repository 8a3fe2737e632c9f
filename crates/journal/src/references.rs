//! Which blobs a record names.

use serde_json::Value;

use crate::record::{Payload, Record};

/// A blob as a record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    /// Hex, as in the line: not checked.
    pub(crate) sha256: &'a str,
    /// Bytes.
    pub(crate) size: u64,
}

/// The blobs that `record` names.
pub(crate) fn references(record: &Record) -> impl Iterator<Item = Reference<'_>> {
    let two = match record {
        Record::Start(start) => [start.enforcement.get("blob").and_then(of_member), of_value(&start.settings)],
        Record::Call(call) => [of_payload(&call.args), call.denial.as_ref().and_then(of_value)],
        Record::Result(outcome) => [of_payload(&outcome.body), None],
        Record::Lifecycle { detail, .. } => [of_value(detail), None],
        Record::Recovered { cut_bytes, cut_sha256 } => [Some(Reference { sha256: cut_sha256, size: *cut_bytes }), None],
        Record::Syscall(_) | Record::Log { .. } => [None, None],
    };
    two.into_iter().flatten()
}

fn of_payload(payload: &Payload) -> Option<Reference<'_>> {
    match payload {
        Payload::Inline(_) | Payload::Private { .. } => None,
        Payload::Blob { sha256, size } => Some(Reference { sha256, size: *size }),
    }
}

/// `{"blob":{"sha256":…,"size":…}}` and nothing beside it.
pub(crate) fn of_value(value: &Value) -> Option<Reference<'_>> {
    of_member(value.get("blob").filter(|_| value.as_object().is_some_and(|o| o.len() == 1))?)
}

/// `{"sha256":…,"size":…}` and nothing beside it.
fn of_member(blob: &Value) -> Option<Reference<'_>> {
    let size = blob.get("size").filter(|_| blob.as_object().is_some_and(|o| o.len() == 2))?.as_u64()?;
    Some(Reference { sha256: blob.get("sha256")?.as_str()?, size })
}
