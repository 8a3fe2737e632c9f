//! The Merkle tree of RFC 6962, section 2.1 (RFC 9162 section 2.1 is the same tree), over SHA-256.
//!
//! [`Frontier`] grows a tree leaf by leaf and knows its root, in memory that does not grow with it.
//! [`verify_inclusion`] and [`verify_consistency`] check proofs; [`prove_inclusion`] and
//! [`prove_consistency`] make them from stored [`Nodes`].

mod frontier;
mod proof;
mod prove;
#[cfg(test)]
mod tests;

pub use frontier::{Frontier, FrontierError};
pub use proof::{MAX_PROOF, ProofError, verify_consistency, verify_inclusion};
pub use prove::{Leaves, Nodes, prove_consistency, prove_inclusion, root_of};

use sha2::{Digest, Sha256};

/// SHA-256 of a leaf, of a node, or of a whole tree.
pub type Hash = [u8; 32];

/// Hash of a leaf: SHA-256(0x00 || `data`) (RFC 6962, section 2.1).
pub fn leaf_hash(data: &[u8]) -> Hash {
    crate::hash::leaf_hash(data)
}

/// Hash of a node over two others: SHA-256(0x01 || `left` || `right`) (RFC 6962, section 2.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut sha = Sha256::new();
    sha.update([1]);
    sha.update(left);
    sha.update(right);
    sha.finalize().into()
}

/// Root of the tree without leaves: SHA-256 of nothing (RFC 6962, section 2.1).
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}
