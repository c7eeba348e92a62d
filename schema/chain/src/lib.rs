//! The rules of the Blocknet chain as pure functions: headers, ids, targets, addresses, rewards, difficulty.
//!
//! What this crate refuses to do: I/O, clocks, chance, floating point, and proof of work (that needs
//! gigabytes and lives in a crate of its own).
//!
//! Invariants: integers in headers and transactions are little-endian, hashes are printed in byte order;
//! a hash meets a target when it is not above it, both read as big-endian 256-bit numbers. A proof-of-work
//! hash and a block id are different types, since they are different hashes of the same header.
#![warn(missing_docs)]

mod address;
mod amounts;
mod block;
mod hash;
mod header;
mod lwma;
mod merkle;
mod target;
pub mod tx;

pub use address::{Address, AddressError, Network};
pub use amounts::{BLOCKS_PER_MONTH, block_reward, send_fee};
pub use block::{Block, BlockHeader};
pub use hash::{BlockId, Hash32, MerkleRoot, Outpoint, ParseHexError, PowHash, TxId, sha3_256};
pub use header::{HEADER_BASE_BYTES, HeaderBase, HeaderParts};
pub use lwma::{Ancestor, DifficultyRules, next_difficulty};
pub use merkle::merkle_root;
pub use target::Target;
