//! Making proofs from hashes that are kept.

use super::{Hash, MAX_PROOF, ProofError, empty_root, node_hash};

/// Roots of complete subtrees, wherever they are kept.
pub trait Nodes {
    /// Why one can't be read.
    type Error: From<ProofError>;

    /// Root of the subtree over the leaves from `index << level` up to, without, `(index + 1) << level`.
    /// Asked for complete subtrees of the tree that a proof is about only.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Root of the tree over the first `size` leaves.
pub fn root_of<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range(nodes, 0, size) }
}

/// PATH of RFC 6962, section 2.1.1: that a leaf is at `index` of the tree of `size` leaves.
pub fn prove_inclusion<N: Nodes + ?Sized>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    if index >= size {
        return Err(ProofError::Index { index, size }.into());
    }
    let mut proof = Vec::with_capacity(MAX_PROOF);
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(range(nodes, low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// PROOF of RFC 6962, section 2.1.2: that the tree of `new` leaves begins with that of `old` leaves.
pub fn prove_consistency<N: Nodes + ?Sized>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    if old > new {
        return Err(ProofError::Shrunk { old, new }.into());
    }
    let mut proof = Vec::with_capacity(MAX_PROOF);
    if old == 0 {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new);
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(range(nodes, low, middle)?);
            low = middle;
        }
    }
    if low != 0 {
        proof.push(range(nodes, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Root over the leaves from `low` up to `high`, a range that splitting a tree leads to: `low` is
/// a multiple of the widest complete subtree in it. One level of recursion halves it.
fn range<N: Nodes + ?Sized>(nodes: &N, low: u64, high: u64) -> Result<Hash, N::Error> {
    let width = high - low;
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        return nodes.node(level, low >> level);
    }
    let middle = low + split(width);
    Ok(node_hash(&range(nodes, low, middle)?, &range(nodes, middle, high)?))
}

/// The largest power of two under `width`, which is over 1.
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// Leaf hashes in memory, from the first leaf on.
#[derive(Debug, Clone, Copy)]
pub struct Leaves<'a>(pub &'a [Hash]);

impl Nodes for Leaves<'_> {
    type Error = ProofError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, ProofError> {
        let size = self.0.len() as u64;
        let missing = || ProofError::Index { index, size };
        let low = index.checked_shl(level).and_then(|low| usize::try_from(low).ok()).ok_or_else(missing)?;
        let width = 1_usize.checked_shl(level).ok_or_else(missing)?;
        let high = low.checked_add(width).ok_or_else(missing)?;
        let mut row = self.0.get(low..high).ok_or_else(missing)?.to_vec();
        while row.len() > 1 {
            row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        row.first().copied().ok_or_else(missing)
    }
}
