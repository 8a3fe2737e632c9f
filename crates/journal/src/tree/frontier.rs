//! The right edge of a tree: all it takes to append to it and to know its root.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hash, empty_root, node_hash};
use crate::hash::{hex, unhex};

/// The compact range of a tree from its first leaf: one root for each complete subtree, widest
/// first, so at most 64 hashes however many leaves there are. It can only be appended to.
///
/// Its JSON is `{"size":N,"peaks":[HEX…]}`; other than as many peaks as `size` has one bits is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Frontier {
    size: u64,
    /// One for each bit that is set in `size`, the highest bit first.
    peaks: Vec<Hash>,
}

/// Why something is no [`Frontier`], or can grow no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrontierError {
    /// There are not as many peaks as the size has one bits.
    Peaks {
        /// Leaves.
        size: u64,
        /// Peaks given.
        found: usize,
    },
    /// A peak is not 64 lower-case hexadecimal digits.
    Digest {
        /// Which, from 0.
        index: usize,
    },
    /// The tree has 2^64 - 1 leaves.
    Full,
}

impl fmt::Display for FrontierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peaks { size, found } => {
                write!(f, "a tree of {size} leaves has {} peaks, not {found}", size.count_ones())
            }
            Self::Digest { index } => write!(f, "peak {index} is not a SHA-256 in lower-case hexadecimal"),
            Self::Full => f.write_str("the tree has as many leaves as a tree can have"),
        }
    }
}

impl std::error::Error for FrontierError {}

impl Frontier {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree of `size` leaves whose complete subtrees, widest first, have these roots. Whether
    /// they are the roots of anything shows against a signed root only: compare [`Frontier::root`].
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Result<Self, FrontierError> {
        if u32::try_from(peaks.len()) != Ok(size.count_ones()) {
            return Err(FrontierError::Peaks { size, found: peaks.len() });
        }
        Ok(Self { size, peaks })
    }

    /// Appends the leaf that has this hash ([`super::leaf_hash`]).
    pub fn push(&mut self, leaf: Hash) -> Result<(), FrontierError> {
        let size = self.size.checked_add(1).ok_or(FrontierError::Full)?;
        let mut top = leaf;
        // Each subtree that the new leaf completes joins the one of its own width to its left.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                top = node_hash(&left, &top);
            }
        }
        self.peaks.push(top);
        self.size = size;
        Ok(())
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, widest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Root of the whole tree.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// A [`Frontier`] as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    size: u64,
    peaks: Vec<String>,
}

impl From<Frontier> for Stored {
    fn from(frontier: Frontier) -> Self {
        Self { size: frontier.size, peaks: frontier.peaks.iter().map(|peak| hex(peak)).collect() }
    }
}

impl TryFrom<Stored> for Frontier {
    type Error = FrontierError;

    fn try_from(stored: Stored) -> Result<Self, FrontierError> {
        let peak = |(index, text): (usize, &String)| unhex(text).ok_or(FrontierError::Digest { index });
        let peaks = stored.peaks.iter().enumerate().map(peak).collect::<Result<Vec<_>, _>>()?;
        Self::from_peaks(stored.size, peaks)
    }
}
