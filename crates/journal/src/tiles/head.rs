//! A leaf of the host's log: the head of one run at one time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::LogError;
use crate::parse_time;
use crate::tree::Hash;

/// Longest leaf in bytes.
pub(super) const MAX_LEAF: usize = 512;

/// Whether `text` can name a run: up to 64 of ASCII letters, digits, `-`, `_` and `.`, and no leading dot.
pub fn is_run_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 64 && !text.starts_with('.') && text.bytes().all(plain)
}

/// The head of a run: how many lines its journal had, and the root of the tree over them.
///
/// The leaf's bytes are `{"run":ID,"size":N,"root":BASE64,"time":TIME}`, in this order, without
/// spaces; the time as in a journal's lines. There is one way to write each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHead {
    /// The run.
    pub run: String,
    /// Lines of its journal.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// When it was signed: UTC, RFC 3339 with microseconds, by the host's clock.
    pub time: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    run: &'a str,
    size: u64,
    root: &'a str,
    time: &'a str,
}

impl RunHead {
    /// The leaf.
    pub fn to_leaf(&self) -> Result<Vec<u8>, LogError> {
        let refuse = |why| LogError::Head { why };
        if !is_run_id(&self.run) {
            return Err(refuse("the run's name has other than letters, digits, '-', '_' and '.', or is too long"));
        }
        if parse_time(&self.time).is_none() {
            return Err(refuse("the time is not RFC 3339 in UTC with microseconds"));
        }
        let root = STANDARD.encode(self.root);
        let stored = Stored { run: &self.run, size: self.size, root: &root, time: &self.time };
        serde_json::to_vec(&stored).map_err(|_| refuse("it has no JSON form"))
    }

    /// Reads a leaf; other bytes that say the same are refused.
    pub fn from_leaf(leaf: &[u8]) -> Result<Self, LogError> {
        let refuse = |why| LogError::Head { why };
        let stored: Stored = serde_json::from_slice(leaf).map_err(|_| refuse("it is not {run, size, root, time}"))?;
        let root = STANDARD.decode(stored.root).ok().and_then(|root| Hash::try_from(root).ok());
        let root = root.ok_or(refuse("its root is not 32 bytes in base64"))?;
        let head = Self { run: stored.run.to_owned(), size: stored.size, root, time: stored.time.to_owned() };
        if head.to_leaf()? != leaf {
            return Err(refuse("it is not in its one form"));
        }
        Ok(head)
    }
}
