//! The compression function on AVX2: a block is 32 vectors of 4 words, twice what fits the registers.
use core::arch::x86_64::*;

use crate::block::{Block, Compress};

/// Proof that this processor has AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Avx2> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }
}

impl Compress for Avx2 {
    #[inline(always)]
    fn compress(self, previous: &Block, reference: &Block, out: &mut Block, early: impl FnOnce(u64)) {
        // SAFETY: a value of this type exists only where `detect` saw AVX2.
        unsafe { compress(previous, reference, out, early) }
    }
}

/// Vector `index` (of 32) of a block.
#[target_feature(enable = "avx2")]
#[inline]
fn load(block: &Block, index: usize) -> __m256i {
    let words = &block.0[4 * index..4 * index + 4];
    // SAFETY: the slice is 32 bytes long and, being a multiple of 32 bytes into a block, aligned to 32 bytes.
    unsafe { _mm256_load_si256(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(block: &mut Block, index: usize, vector: __m256i) {
    let words = &mut block.0[4 * index..4 * index + 4];
    // SAFETY: as in `load`, and the slice is exclusive.
    unsafe { _mm256_store_si256(words.as_mut_ptr().cast(), vector) }
}

/// `x + y + 2 * low(x) * low(y)` in each word.
#[target_feature(enable = "avx2")]
#[inline]
fn multiply_add(x: __m256i, y: __m256i) -> __m256i {
    let product = _mm256_mul_epu32(x, y);
    _mm256_add_epi64(_mm256_add_epi64(x, y), _mm256_add_epi64(product, product))
}

/// In each cell of two words: the second of `a`, then the first of `b`.
#[target_feature(enable = "avx2")]
#[inline]
fn second_first(a: __m256i, b: __m256i) -> __m256i {
    _mm256_alignr_epi8::<8>(b, a)
}

// AVX2 has no rotation: three of the four are shuffles of bytes, the last two shifts.

#[target_feature(enable = "avx2")]
#[inline]
fn turn_32(x: __m256i) -> __m256i {
    _mm256_shuffle_epi32::<0xB1>(x)
}

#[target_feature(enable = "avx2")]
#[inline]
fn turn_24(x: __m256i) -> __m256i {
    let bytes = _mm_setr_epi8(3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10);
    _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(bytes))
}

#[target_feature(enable = "avx2")]
#[inline]
fn turn_16(x: __m256i) -> __m256i {
    let bytes = _mm_setr_epi8(2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9);
    _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(bytes))
}

#[target_feature(enable = "avx2")]
#[inline]
fn turn_63(x: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_add_epi64(x, x), _mm256_srli_epi64::<63>(x))
}

/// `G` on two independent sets of four vectors, interleaved so that one computes while the other waits.
/// A macro, since a function for a processor feature cannot be forced inline.
macro_rules! mix_two {
    ($a0:ident $b0:ident $c0:ident $d0:ident, $a1:ident $b1:ident $c1:ident $d1:ident) => {
        mix_two!(@half turn_32, turn_24; $a0 $b0 $c0 $d0, $a1 $b1 $c1 $d1);
        mix_two!(@half turn_16, turn_63; $a0 $b0 $c0 $d0, $a1 $b1 $c1 $d1);
    };
    (@half $turn_d:ident, $turn_b:ident;
     $a0:ident $b0:ident $c0:ident $d0:ident, $a1:ident $b1:ident $c1:ident $d1:ident) => {
        $a0 = multiply_add($a0, $b0);
        $a1 = multiply_add($a1, $b1);
        $d0 = $turn_d(_mm256_xor_si256($d0, $a0));
        $d1 = $turn_d(_mm256_xor_si256($d1, $a1));
        $c0 = multiply_add($c0, $d0);
        $c1 = multiply_add($c1, $d1);
        $b0 = $turn_b(_mm256_xor_si256($b0, $c0));
        $b1 = $turn_b(_mm256_xor_si256($b1, $c1));
    };
}

/// Turns the words of the vectors by one, two and three places: brings diagonals under each other.
macro_rules! turn {
    ($by1:ident $by2:ident $by3:ident) => {
        $by1 = _mm256_permute4x64_epi64::<0x39>($by1);
        $by2 = _mm256_permute4x64_epi64::<0x4E>($by2);
        $by3 = _mm256_permute4x64_epi64::<0x93>($by3);
    };
}

/// The round on two columns, a quarter of each row; then the output of that quarter. A vector holds the cells of one
/// row: the words of `a` are in rows 0 and 1, those of `b` in 2 and 3, and so on.
macro_rules! round_of_columns {
    ($state:ident, $quarter:literal, $input:ident, $out:ident) => {
        let [mut a0, mut a1, mut b0, mut b1, mut c0, mut c1, mut d0, mut d1] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|row| $state[4 * row + $quarter]);
        mix_two!(a0 b0 c0 d0, a1 b1 c1 d1);
        (b0, b1) = (second_first(b0, b1), second_first(b1, b0));
        (d0, d1) = (second_first(d1, d0), second_first(d0, d1));
        mix_two!(a0 b0 c1 d0, a1 b1 c0 d1);
        (b0, b1) = (second_first(b1, b0), second_first(b0, b1));
        (d0, d1) = (second_first(d0, d1), second_first(d1, d0));
        for (row, vector) in [a0, a1, b0, b1, c0, c1, d0, d1].into_iter().enumerate() {
            let index = 4 * row + $quarter;
            store($out, index, _mm256_xor_si256(vector, $input(index)));
        }
    };
}

#[target_feature(enable = "avx2")]
fn compress(previous: &Block, reference: &Block, out: &mut Block, early: impl FnOnce(u64)) {
    let input = |index| _mm256_xor_si256(load(previous, index), load(reference, index));
    let mut state = [_mm256_setzero_si256(); 32];
    // A row is four vectors `a`, `b`, `c`, `d`; two rows at a time.
    for (pair, rows) in state.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let [mut a0, mut b0, mut c0, mut d0, mut a1, mut b1, mut c1, mut d1] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|index| input(8 * pair + index));
        mix_two!(a0 b0 c0 d0, a1 b1 c1 d1);
        turn!(b0 c0 d0);
        turn!(b1 c1 d1);
        mix_two!(a0 b0 c0 d0, a1 b1 c1 d1);
        turn!(d0 c0 b0); // The other way round is back.
        turn!(d1 c1 b1);
        *rows = [a0, b0, c0, d0, a1, b1, c1, d1];
    }
    {
        round_of_columns!(state, 0, input, out);
    }
    early(out.0[0]);
    {
        round_of_columns!(state, 1, input, out);
    }
    {
        round_of_columns!(state, 2, input, out);
    }
    {
        round_of_columns!(state, 3, input, out);
    }
}
