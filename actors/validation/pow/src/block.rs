//! One KiB of Argon2 memory, and what can be done to it.

/// 64-bit words in a block.
pub(crate) const WORDS: usize = 128;

/// 1 KiB as 128 words, aligned for the widest vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Block(pub(crate) [u64; WORDS]);

impl Block {
    pub(crate) const ZERO: Block = Block([0; WORDS]);
}

/// The compression function of Argon2 on one instruction set.
///
/// A block is a matrix of 8 by 8 cells of two words. Its input is the exclusive or of the previous and the reference
/// block; a round is applied to each row and then to each column; the output is the exclusive or of that and the input.
pub(crate) trait Compress: Copy {
    /// Makes `out`. As soon as its first word is final, `early` hears it: the word decides which block is read next, and
    /// the memory can begin to fetch that one while the rest is computed.
    fn compress(self, previous: &Block, reference: &Block, out: &mut Block, early: impl FnOnce(u64));
}

/// Asks the memory for a block that is needed soon.
#[inline(always)]
pub(crate) fn prefetch(block: &Block) {
    #[cfg(target_arch = "x86_64")]
    for cache_line in block.0.chunks_exact(8) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch has no effect that a program can see; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(cache_line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(block);
}
