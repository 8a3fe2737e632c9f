//! Messages between a supervisor and its notary: one JSON object per `SOCK_SEQPACKET` datagram.
//!
//! The notary is told hashes, never what a journal says, so nothing an agent writes reaches the
//! holder of the key. A [`FromNotary::Refused`] is its last word: it ends after it.

use serde::{Deserialize, Serialize};

/// Longest datagram in bytes, both ways: [`MAX_LEAVES`] hashes and some.
pub const MAX_MESSAGE: usize = 96 * 1024;

/// Most leaf hashes of one [`ToNotary::Append`].
pub const MAX_LEAVES: usize = 1024;

/// What a notary is asked. The first is `Begin`, `Resume`, `Init` or `Rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToNotary {
    /// Begin the host's log under this name. Refused if it was begun.
    Init {
        /// The log's name; `None`: made from the host's name and chance.
        origin: Option<String>,
    },
    /// A new run, of which nothing is known yet. Begins the log if need be.
    Begin {
        /// The run's id.
        run: String,
    },
    /// A run that was begun before.
    Resume {
        /// The run's id.
        run: String,
        /// Lines its journal has now. Fewer than have been signed: [`Refusal::Rollback`].
        lines: u64,
    },
    /// Lines that are on disk. No answer.
    Append {
        /// Number of the first, from 1: one more than the last that the notary has.
        first: u64,
        /// Their leaf hashes in hexadecimal, at most [`MAX_LEAVES`].
        leaves: Vec<String>,
    },
    /// Sign the run's head as it is, and put it into the host's log.
    Head,
    /// End the epoch: the next key is named by the old one, which is erased.
    Rotate,
}

/// What a notary answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromNotary {
    /// To `Init`, `Begin`, `Resume`.
    Begun {
        /// The host log's name.
        origin: String,
        /// The key that signs now (a C2SP verifier key).
        key: String,
        /// Lines of the run that have been signed; the next to append is the one after.
        size: u64,
        /// Root of the tree over them, in hexadecimal. Whoever resumes must compare it with the journal.
        root: String,
    },
    /// To `Head`; all of it is on disk.
    Signed {
        /// Lines that were signed.
        size: u64,
        /// The run's checkpoint, a signed note.
        checkpoint: String,
        /// Index of its leaf in the host's log, from 0.
        index: u64,
        /// The leaf.
        leaf: String,
        /// The host log's checkpoint with it, a signed note.
        host: String,
    },
    /// To `Rotate`.
    Rotated {
        /// Number of the epoch that ended, from 1.
        ended: u32,
        /// The key that signs from now on.
        key: String,
    },
    /// Nothing was done, and the notary ends.
    Refused {
        /// What kind.
        code: Refusal,
        /// For the operator.
        detail: String,
    },
}

/// Why a notary refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The journal, or the host's log, is shorter than what has been signed.
    Rollback,
    /// The host's log is not the one that was signed, or cosigned.
    Fork,
    /// A message that may not come now, or is malformed.
    Protocol,
    /// The run was begun before, or was not.
    Run,
    /// The key is missing or is not the log's.
    Key,
    /// A file of the log is missing, damaged, or cannot be written.
    Log,
    /// The notary could not shut itself in.
    Confine,
}
