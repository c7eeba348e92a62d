//! The BLAKE2b ends of Argon2: from the inputs to the first two blocks, and from the last block to the tag.
use blake2::digest::consts::U32;
use blake2::{Blake2b, Blake2b512, Digest};

use crate::block::{Block, WORDS};

const BLOCK_BYTES: u32 = 1024;
const TAG_BYTES: u32 = 32;

const LANES: u32 = 1;
const PASSES: u32 = 1;
const VERSION: u32 = 0x13;
const TYPE_ID: u32 = 2;

/// `H0`: everything that a hash depends on, in 64 bytes. There is no secret and no associated data.
fn commitment(password: &[u8], salt: &[u8], memory_kib: u32) -> [u8; 64] {
    let mut hasher = Blake2b512::new();
    for parameter in [LANES, TAG_BYTES, memory_kib, PASSES, VERSION, TYPE_ID] {
        hasher.update(parameter.to_le_bytes());
    }
    for input in [password, salt, &[], &[]] {
        let length = u32::try_from(input.len()).expect("the inputs of a hash are shorter than 4 GiB");
        hasher.update(length.to_le_bytes());
        hasher.update(input);
    }
    hasher.finalize().into()
}

/// The two blocks from which the memory is filled.
pub(crate) fn first_blocks(password: &[u8], salt: &[u8], memory_kib: u32) -> [Block; 2] {
    let seed = commitment(password, salt, memory_kib);
    [0_u32, 1].map(|column| {
        let mut hasher = Blake2b512::new();
        hasher.update(BLOCK_BYTES.to_le_bytes());
        hasher.update(seed);
        hasher.update(column.to_le_bytes());
        hasher.update(0_u32.to_le_bytes()); // The lane.
        stretch(hasher.finalize().into())
    })
}

/// The long form of `H'`: each digest is hashed into the next; all give their first half, the last gives all of it.
fn stretch(first: [u8; 64]) -> Block {
    let mut digest = first;
    let mut bytes = [0; BLOCK_BYTES as usize];
    let (halves, last) = bytes.split_at_mut(BLOCK_BYTES as usize - 64);
    for half in halves.chunks_exact_mut(32) {
        half.copy_from_slice(&digest[..32]);
        digest = Blake2b512::digest(digest).into();
    }
    last.copy_from_slice(&digest);

    let mut block = Block([0; WORDS]);
    for (word, bytes) in block.0.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    block
}

/// The tag of a lane: the short form of `H'` over its last block.
pub(crate) fn tag(last: &Block) -> [u8; 32] {
    let mut hasher = Blake2b::<U32>::new();
    hasher.update(TAG_BYTES.to_le_bytes());
    for word in last.0 {
        hasher.update(word.to_le_bytes());
    }
    hasher.finalize().into()
}
