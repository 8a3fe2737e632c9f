//! Checking proofs, by the algorithms of RFC 9162.

use std::fmt;

use super::{Hash, empty_root, node_hash};

/// Most hashes a proof about a tree of fewer than 2^64 leaves can have: one a level, and one more.
pub const MAX_PROOF: usize = 65;

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofError {
    /// The leaf's index is not in a tree of this size.
    Index {
        /// The index, from 0.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The old tree is the larger one.
    Shrunk {
        /// Leaves of the old tree.
        old: u64,
        /// Leaves of the new tree.
        new: u64,
    },
    /// The proof has too many or too few hashes for these sizes.
    Length {
        /// Hashes given.
        found: usize,
    },
    /// The hashes lead to another root for the tree that is said to be the old one.
    OldRoot {
        /// Its size.
        size: u64,
    },
    /// The hashes lead to another root.
    Root {
        /// Size of the tree it is about.
        size: u64,
    },
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index { index, size } => write!(f, "a tree of {size} leaves has no leaf {index}"),
            Self::Shrunk { old, new } => write!(f, "a tree of {new} leaves cannot follow one of {old}"),
            Self::Length { found } => write!(f, "the proof has {found} hashes, which is not what the sizes take"),
            Self::OldRoot { size } => write!(f, "the proof leads to another root of the tree of {size} leaves"),
            Self::Root { size } => write!(f, "the proof leads to another root of the tree of {size} leaves"),
        }
    }
}

impl std::error::Error for ProofError {}

/// Whether the leaf with this hash is the one at `index`, from 0, of the tree of `size` leaves
/// with this `root` (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, root: &Hash, proof: &[Hash]) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let length = ProofError::Length { found: proof.len() };
    let (mut fnode, mut snode, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if snode == 0 {
            return Err(length);
        }
        if fnode & 1 == 1 || fnode == snode {
            hash = node_hash(step, &hash);
            // At the right edge, levels at which the node has no sibling are passed by.
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    match (snode, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root { size }),
        _ => Err(length),
    }
}

/// Whether the tree of `new` leaves with root `new_root` begins with the tree of `old` leaves
/// with root `old_root` (RFC 9162, section 2.1.4.2). A tree without leaves begins every tree.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let length = ProofError::Length { found: proof.len() };
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    if old == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRoot { size: 0 });
    }
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(length);
        }
        // Of the empty tree nothing follows for the new root, but that an empty one is empty.
        let same = if new == 0 { *new_root == empty_root() } else { old == 0 || old_root == new_root };
        return if same { Ok(()) } else { Err(ProofError::Root { size: new }) };
    }
    let mut steps = proof.iter();
    // A complete old tree is a node of the new one: it is not sent, since it is known.
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let first = *first.ok_or(length.clone())?;
    let (mut fnode, mut snode) = (old - 1, new - 1);
    let passed = fnode.trailing_ones();
    fnode = fnode.checked_shr(passed).unwrap_or(0);
    snode = snode.checked_shr(passed).unwrap_or(0);
    let (mut old_hash, mut new_hash) = (first, first);
    for step in steps {
        if snode == 0 {
            return Err(length);
        }
        if fnode & 1 == 1 || fnode == snode {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode != 0 {
        return Err(length);
    }
    if old_hash != *old_root {
        return Err(ProofError::OldRoot { size: old });
    }
    if new_hash != *new_root {
        return Err(ProofError::Root { size: new });
    }
    Ok(())
}
