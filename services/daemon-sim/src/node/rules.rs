//! What a block must be to enter the chain, in the order in which the daemon looks.
use chain::tx::Transaction;
use chain::{Block as FullBlock, BlockHeader, BlockId, DifficultyRules, block_reward};
use units::Height;

use super::tree::Tree;
use crate::coins;

/// Seconds that a block's time may lie ahead of the clock.
pub(crate) const FUTURE_SECS_MAX: i64 = 7200;
const MEDIAN_BLOCKS: usize = 11;
const BLOCK_BYTES_MAX: usize = 1_048_576;

/// Why a block is not valid. The API only says "block rejected"; this goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("version is zero")]
    Version,
    #[error("parent is unknown")]
    Parent,
    #[error("height does not follow the parent's")]
    Height,
    #[error("timestamp is not above the parent's")]
    NotAfterParent,
    #[error("timestamp is not above the median of its ancestors")]
    NotAfterMedian,
    #[error("timestamp is too far in the future")]
    Future,
    #[error("difficulty is not what the chain asks for")]
    Difficulty,
    #[error("hash is above the target")]
    ProofOfWork,
    #[error("block is too large")]
    Size,
    #[error("first transaction is not the only coinbase")]
    CoinbasePosition,
    #[error("transaction is not valid")]
    Transaction,
    #[error("key image appears twice")]
    DoubleSpend,
    #[error("coinbase does not pay the emission")]
    CoinbaseAmount,
    #[error("merkle root does not match the transactions")]
    MerkleRoot,
}

/// The checks that cost nothing, before proof of work.
pub(crate) fn check_header(
    tree: &Tree,
    header: &BlockHeader,
    rules: &DifficultyRules,
    now_secs: i64,
) -> Result<(), Invalid> {
    if header.version == 0 {
        return Err(Invalid::Version);
    }
    let parent = tree.get(&BlockId(header.prev_hash.0)).ok_or(Invalid::Parent)?;
    if header.height != parent.height() + 1 {
        return Err(Invalid::Height);
    }
    if header.timestamp <= parent.header.timestamp {
        return Err(Invalid::NotAfterParent);
    }
    if header.difficulty != tree.next_difficulty(parent, rules) {
        return Err(Invalid::Difficulty);
    }
    let mut times = Vec::with_capacity(MEDIAN_BLOCKS);
    let mut ancestor = Some(parent);
    while let Some(block) = ancestor.filter(|_| times.len() < MEDIAN_BLOCKS) {
        times.push(block.header.timestamp);
        ancestor = tree.get(&block.parent());
    }
    times.sort_unstable();
    if header.timestamp <= times[times.len() / 2] {
        return Err(Invalid::NotAfterMedian);
    }
    if header.timestamp > now_secs.saturating_add(FUTURE_SECS_MAX) {
        return Err(Invalid::Future);
    }
    Ok(())
}

/// The checks after proof of work.
pub(crate) fn check_body(tree: &Tree, block: &FullBlock) -> Result<(), Invalid> {
    let bytes: usize = block.transactions.iter().map(|tx| tx.to_bytes().len()).sum();
    if bytes + 100 > BLOCK_BYTES_MAX {
        return Err(Invalid::Size);
    }
    let (coinbase, others) = block.transactions.split_first().ok_or(Invalid::CoinbasePosition)?;
    if !coinbase.is_coinbase() || others.iter().any(Transaction::is_coinbase) {
        return Err(Invalid::CoinbasePosition);
    }
    let [reward] = coinbase.outputs.as_slice() else { return Err(Invalid::CoinbasePosition) };
    if coinbase.fee != 0 || reward.encrypted_memo.0 == [0; 128] {
        return Err(Invalid::CoinbasePosition);
    }
    let mut images = std::collections::HashSet::new();
    for tx in others {
        if tx.outputs.is_empty() || tx.inputs.iter().any(|input| input.ring_members.len() != coins::RING_SIZE) {
            return Err(Invalid::Transaction);
        }
        for input in &tx.inputs {
            let image = input.key_image.0;
            // A branch may spend again what the main chain has spent, since it replaces it.
            let is_extending_tip = tree.tip().id == BlockId(block.header.prev_hash.0);
            if !images.insert(image) || (is_extending_tip && tree.spent_by(&image).is_some()) {
                return Err(Invalid::DoubleSpend);
            }
        }
    }
    if coins::amount_of(reward) != block_reward(Height::new(block.header.height)).atoms() {
        return Err(Invalid::CoinbaseAmount);
    }
    if block.merkle_root().0 != block.header.merkle_root.0 {
        return Err(Invalid::MerkleRoot);
    }
    Ok(())
}
