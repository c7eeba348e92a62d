//! A whole block in the JSON form of the daemon's templates and full submits.
use serde::{Deserialize, Serialize};
use units::{Height, Nonce};

use crate::hash::{BlockId, Hash32, MerkleRoot};
use crate::header::{HeaderBase, HeaderParts};
use crate::merkle::merkle_root;
use crate::tx::{Bytes, Transaction};

/// A header as the daemon writes it: PascalCase keys, hashes as arrays of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BlockHeader {
    /// 1 today.
    pub version: u32,
    /// The block's own height.
    pub height: u64,
    /// Id of the parent.
    pub prev_hash: Bytes<32>,
    /// Root over the ids of the transactions.
    pub merkle_root: Bytes<32>,
    /// Unix seconds.
    pub timestamp: i64,
    /// Expected hashes.
    pub difficulty: u64,
    /// 0 in a template.
    pub nonce: u64,
}

/// A header and the transactions that its merkle root covers, the coinbase first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header with its nonce.
    pub header: BlockHeader,
    /// In block order.
    pub transactions: Vec<Transaction>,
}

impl BlockHeader {
    /// A header with the fields of `base`.
    #[must_use]
    pub fn new(base: &HeaderBase, nonce: Nonce) -> BlockHeader {
        let parts = base.parts();
        BlockHeader {
            version: parts.version,
            height: parts.height.get(),
            prev_hash: Bytes(parts.prev_hash.0),
            merkle_root: Bytes(parts.merkle_root.0),
            timestamp: parts.timestamp,
            difficulty: parts.difficulty,
            nonce: nonce.get(),
        }
    }

    /// The 92 bytes without the nonce.
    #[must_use]
    pub fn base(&self) -> HeaderBase {
        HeaderBase::build(&HeaderParts {
            version: self.version,
            height: Height::new(self.height),
            prev_hash: BlockId(self.prev_hash.0),
            merkle_root: Hash32(self.merkle_root.0),
            timestamp: self.timestamp,
            difficulty: self.difficulty,
        })
    }

    /// The id of the block.
    #[must_use]
    pub fn block_id(&self) -> BlockId {
        self.base().block_id(Nonce::new(self.nonce))
    }
}

impl Block {
    /// The root that the header should carry.
    #[must_use]
    pub fn merkle_root(&self) -> MerkleRoot {
        let ids: Vec<_> = self.transactions.iter().map(Transaction::txid).collect();
        merkle_root(&ids)
    }
}
