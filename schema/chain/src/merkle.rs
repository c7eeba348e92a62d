//! The merkle tree over a block's transactions.
use crate::hash::{Hash32, MerkleRoot, TxId, sha3_256};

/// The root over transaction ids in block order. A level of odd length repeats its last node; a single id is its own
/// root; without any the root is zero.
#[must_use]
pub fn merkle_root(leaves: &[TxId]) -> MerkleRoot {
    let mut level: Vec<Hash32> = leaves.iter().map(|leaf| Hash32(leaf.0)).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| {
                let (left, right) = (&pair[0], pair.last().unwrap_or(&pair[0]));
                Hash32(sha3_256(&[&left.0, &right.0]))
            })
            .collect();
    }
    level.first().copied().unwrap_or(Hash32::ZERO)
}
