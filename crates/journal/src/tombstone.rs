//! The line that stands for a record that retention took.

use serde::{Deserialize, Serialize};

use crate::error::{At, ReadError};
use crate::hash::{hex, unhex};

/// How every such line begins, and no record's.
const MARK: &[u8] = b"{\"tombstone\":";

/// `{"tombstone":{"seq":N,"leaf":HEX}}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    tombstone: Tombstone,
}

/// What is left of a record: its place and its leaf.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tombstone {
    pub(crate) seq: u64,
    /// Hex.
    pub(crate) leaf: String,
}

/// The line for a record, without its newline.
pub(crate) fn line(seq: u64, leaf: &[u8; 32]) -> Vec<u8> {
    format!("{{\"tombstone\":{{\"seq\":{seq},\"leaf\":\"{}\"}}}}", hex(leaf)).into_bytes()
}

/// Reads such a line; `None` if it is another.
pub(crate) fn read(bytes: &[u8], at: At) -> Option<Result<(Tombstone, [u8; 32]), ReadError>> {
    if !bytes.starts_with(MARK) {
        return None;
    }
    let Whole { tombstone } = match serde_json::from_slice(bytes) {
        Ok(whole) => whole,
        Err(error) => return Some(Err(ReadError::Malformed { at, what: error.to_string() })),
    };
    let Some(leaf) = unhex(&tombstone.leaf) else {
        return Some(Err(ReadError::Malformed { at, what: "its leaf is not a SHA-256 in hex".to_owned() }));
    };
    let only = line(tombstone.seq, &leaf);
    if only != bytes {
        let same = only.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Some(Err(ReadError::NotCanonical { at, column: same + 1 }));
    }
    Some(Ok((tombstone, leaf)))
}
