//! The proof of work of Blocknet: Argon2id version 0x13, one pass, one lane, over 2 GiB.
//!
//! Written from RFC 9106 for exactly these parameters, since the time of one hash is what a pool's verification
//! capacity is made of. The kernel runs on AVX-512, AVX2 or plain integers, chosen at run time, over an [`Arena`] that is
//! mapped once and reused: mapping two gigabytes costs more than hashing them.
//!
//! What this crate refuses to do: other variants, passes or lanes; targets and verdicts; threads. It is the only crate
//! with unsafe code, and that is confined to three kinds of places: mapping memory, loading and storing vectors, and
//! entering code for a processor feature that was detected.
//!
//! Invariant: all instruction sets give the same bytes, and those of the reference implementation.

mod arena;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blake;
mod block;
mod fill;
mod kernel;
mod portable;

pub use arena::{Arena, ArenaError, MemoryError, MemoryKib};
pub use kernel::{HEADER_BASE_BYTES, Isa, Kernel};
