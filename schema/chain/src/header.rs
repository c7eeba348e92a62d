//! The block header without its nonce: what a job consists of and what proof of work salts with.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use units::{Height, Nonce};

use crate::hash::{BlockId, Hash32, MerkleRoot, ParseHexError, bytes_from_hex, fmt_hex, serde_as_text, sha3_256};

/// Bytes of a header without its nonce.
pub const HEADER_BASE_BYTES: usize = 92;

const HEIGHT: usize = 4;
const PREV_HASH: usize = 12;
const MERKLE_ROOT: usize = 44;
const TIMESTAMP: usize = 76;
const DIFFICULTY: usize = 84;

/// The 92 header bytes before the nonce: version, height, previous block, merkle root, time, difficulty.
///
/// Any 92 bytes are a header base; whether the chain would take it is not decided here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeaderBase([u8; HEADER_BASE_BYTES]);

/// The fields of a [`HeaderBase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderParts {
    /// 1 today; the chain takes any but 0.
    pub version: u32,
    /// The block's own height.
    pub height: Height,
    /// Id of the parent.
    pub prev_hash: BlockId,
    /// Root over the ids of the transactions.
    pub merkle_root: MerkleRoot,
    /// Seconds since the Unix epoch; must be above the parent's.
    pub timestamp: i64,
    /// Expected hashes; the network target follows from it.
    pub difficulty: u64,
}

impl HeaderBase {
    /// Takes the bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HEADER_BASE_BYTES]) -> HeaderBase {
        HeaderBase(bytes)
    }

    /// From 184 hex digits of any case.
    ///
    /// # Errors
    /// When the text is not hex or not 92 bytes long.
    pub fn from_hex(text: &str) -> Result<HeaderBase, ParseHexError> {
        bytes_from_hex("header base", text).map(HeaderBase)
    }

    /// 184 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Lays out the fields.
    #[must_use]
    pub fn build(parts: &HeaderParts) -> HeaderBase {
        let mut bytes = [0; HEADER_BASE_BYTES];
        bytes[..HEIGHT].copy_from_slice(&parts.version.to_le_bytes());
        bytes[HEIGHT..PREV_HASH].copy_from_slice(&parts.height.get().to_le_bytes());
        bytes[PREV_HASH..MERKLE_ROOT].copy_from_slice(&parts.prev_hash.0);
        bytes[MERKLE_ROOT..TIMESTAMP].copy_from_slice(&parts.merkle_root.0);
        bytes[TIMESTAMP..DIFFICULTY].copy_from_slice(&parts.timestamp.to_le_bytes());
        bytes[DIFFICULTY..].copy_from_slice(&parts.difficulty.to_le_bytes());
        HeaderBase(bytes)
    }

    /// Reads all fields.
    #[must_use]
    pub fn parts(&self) -> HeaderParts {
        HeaderParts {
            version: self.version(),
            height: self.height(),
            prev_hash: self.prev_hash(),
            merkle_root: self.merkle_root(),
            timestamp: self.timestamp(),
            difficulty: self.difficulty(),
        }
    }

    /// The same header at another time (Unix seconds).
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: i64) -> HeaderBase {
        self.0[TIMESTAMP..DIFFICULTY].copy_from_slice(&timestamp.to_le_bytes());
        self
    }

    /// The bytes that proof of work takes as its salt.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HEADER_BASE_BYTES] {
        &self.0
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> u32 {
        u32::from_le_bytes(self.field(0))
    }

    /// The block's own height.
    #[must_use]
    pub fn height(&self) -> Height {
        Height::new(u64::from_le_bytes(self.field(HEIGHT)))
    }

    /// Id of the parent.
    #[must_use]
    pub fn prev_hash(&self) -> BlockId {
        BlockId(self.field(PREV_HASH))
    }

    /// Root over the ids of the transactions.
    #[must_use]
    pub fn merkle_root(&self) -> MerkleRoot {
        Hash32(self.field(MERKLE_ROOT))
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        i64::from_le_bytes(self.field(TIMESTAMP))
    }

    /// The network difficulty; 0 in no valid block.
    #[must_use]
    pub fn difficulty(&self) -> u64 {
        u64::from_le_bytes(self.field(DIFFICULTY))
    }

    /// The id of the block that this header and `nonce` make.
    #[must_use]
    pub fn block_id(&self, nonce: Nonce) -> BlockId {
        BlockId(sha3_256(&[&self.0, &nonce.to_le_bytes()]))
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.0[at..at + N]);
        field
    }
}

// === impl text ===

impl fmt::Display for HeaderBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_hex(&self.0, f)
    }
}

impl fmt::Debug for HeaderBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderBase({self})")
    }
}

impl FromStr for HeaderBase {
    type Err = ParseHexError;
    fn from_str(text: &str) -> Result<HeaderBase, ParseHexError> {
        HeaderBase::from_hex(text)
    }
}

serde_as_text!(HeaderBase);
