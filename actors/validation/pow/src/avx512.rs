//! The compression function on AVX-512: a block is 16 vectors of 8 words, and all of it stays in registers.
use core::arch::x86_64::*;

use crate::block::{Block, Compress};

/// Proof that this processor has AVX-512F.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Avx512> {
        is_x86_feature_detected!("avx512f").then_some(Avx512(()))
    }
}

impl Compress for Avx512 {
    #[inline(always)]
    fn compress(self, previous: &Block, reference: &Block, out: &mut Block, early: impl FnOnce(u64)) {
        // SAFETY: a value of this type exists only where `detect` saw AVX-512F.
        unsafe { compress(previous, reference, out, early) }
    }
}

/// Vector `index` (of 16) of a block.
#[target_feature(enable = "avx512f")]
#[inline]
fn load(block: &Block, index: usize) -> __m512i {
    let words = &block.0[8 * index..8 * index + 8];
    // SAFETY: the slice is 64 bytes long and, being a multiple of 64 bytes into a block, aligned to 64 bytes.
    unsafe { _mm512_load_si512(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(block: &mut Block, index: usize, vector: __m512i) {
    let words = &mut block.0[8 * index..8 * index + 8];
    // SAFETY: as in `load`, and the slice is exclusive.
    unsafe { _mm512_store_si512(words.as_mut_ptr().cast(), vector) }
}

/// `x + y + 2 * low(x) * low(y)` in each word.
#[target_feature(enable = "avx512f")]
#[inline]
fn multiply_add(x: __m512i, y: __m512i) -> __m512i {
    let product = _mm512_mul_epu32(x, y);
    _mm512_add_epi64(_mm512_add_epi64(x, y), _mm512_add_epi64(product, product))
}

/// In each cell of two words: the second of `a`, then the first of `b`.
#[target_feature(enable = "avx512f")]
#[inline]
fn second_first(a: __m512i, b: __m512i) -> __m512i {
    _mm512_castpd_si512(_mm512_shuffle_pd::<0x55>(_mm512_castsi512_pd(a), _mm512_castsi512_pd(b)))
}

/// The lower halves of two vectors.
#[target_feature(enable = "avx512f")]
#[inline]
fn lower_halves(x: __m512i, y: __m512i) -> __m512i {
    _mm512_shuffle_i64x2::<0x44>(x, y)
}

/// The upper halves of two vectors.
#[target_feature(enable = "avx512f")]
#[inline]
fn upper_halves(x: __m512i, y: __m512i) -> __m512i {
    _mm512_shuffle_i64x2::<0xEE>(x, y)
}

/// `G` on two independent sets of four vectors, interleaved so that one computes while the other waits.
/// A macro, since a function for a processor feature cannot be forced inline.
macro_rules! mix_two {
    ($a0:ident $b0:ident $c0:ident $d0:ident, $a1:ident $b1:ident $c1:ident $d1:ident) => {
        mix_two!(@half 32, 24; $a0 $b0 $c0 $d0, $a1 $b1 $c1 $d1);
        mix_two!(@half 16, 63; $a0 $b0 $c0 $d0, $a1 $b1 $c1 $d1);
    };
    (@half $turn_d:literal, $turn_b:literal;
     $a0:ident $b0:ident $c0:ident $d0:ident, $a1:ident $b1:ident $c1:ident $d1:ident) => {
        $a0 = multiply_add($a0, $b0);
        $a1 = multiply_add($a1, $b1);
        $d0 = _mm512_ror_epi64::<$turn_d>(_mm512_xor_si512($d0, $a0));
        $d1 = _mm512_ror_epi64::<$turn_d>(_mm512_xor_si512($d1, $a1));
        $c0 = multiply_add($c0, $d0);
        $c1 = multiply_add($c1, $d1);
        $b0 = _mm512_ror_epi64::<$turn_b>(_mm512_xor_si512($b0, $c0));
        $b1 = _mm512_ror_epi64::<$turn_b>(_mm512_xor_si512($b1, $c1));
    };
}

/// Turns the four words of each half by one, two and three places: brings diagonals under each other.
macro_rules! turn {
    ($by1:ident $by2:ident $by3:ident) => {
        $by1 = _mm512_permutex_epi64::<0x39>($by1);
        $by2 = _mm512_permutex_epi64::<0x4E>($by2);
        $by3 = _mm512_permutex_epi64::<0x93>($by3);
    };
}

/// The round on four rows. A row is two vectors: `a` and `b`, then `c` and `d`. Rows are taken two to a set of vectors,
/// so that each of the four vectors of a set holds one letter of two rows.
macro_rules! round_of_rows {
    ($state:ident, $first:literal) => {
        let [r0, r1, r2, r3, r4, r5, r6, r7] = [0, 1, 2, 3, 4, 5, 6, 7].map(|index| $state[$first + index]);
        let (mut a0, mut b0) = (lower_halves(r0, r2), upper_halves(r0, r2));
        let (mut c0, mut d0) = (lower_halves(r1, r3), upper_halves(r1, r3));
        let (mut a1, mut b1) = (lower_halves(r4, r6), upper_halves(r4, r6));
        let (mut c1, mut d1) = (lower_halves(r5, r7), upper_halves(r5, r7));
        mix_two!(a0 b0 c0 d0, a1 b1 c1 d1);
        turn!(b0 c0 d0);
        turn!(b1 c1 d1);
        mix_two!(a0 b0 c0 d0, a1 b1 c1 d1);
        turn!(d0 c0 b0); // The other way round is back.
        turn!(d1 c1 b1);
        $state[$first] = lower_halves(a0, b0);
        $state[$first + 1] = lower_halves(c0, d0);
        $state[$first + 2] = upper_halves(a0, b0);
        $state[$first + 3] = upper_halves(c0, d0);
        $state[$first + 4] = lower_halves(a1, b1);
        $state[$first + 5] = lower_halves(c1, d1);
        $state[$first + 6] = upper_halves(a1, b1);
        $state[$first + 7] = upper_halves(c1, d1);
    };
}

/// The round on four columns, the left or the right half of each row; then the output of that half. A vector holds the
/// cells of one row: the words of `a` are in rows 0 and 1, those of `b` in 2 and 3, and so on.
macro_rules! round_of_columns {
    ($state:ident, $half:literal, $input:ident, $out:ident) => {
        let [mut a0, mut a1, mut b0, mut b1, mut c0, mut c1, mut d0, mut d1] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|row| $state[2 * row + $half]);
        mix_two!(a0 b0 c0 d0, a1 b1 c1 d1);
        (b0, b1) = (second_first(b0, b1), second_first(b1, b0));
        (d0, d1) = (second_first(d1, d0), second_first(d0, d1));
        mix_two!(a0 b0 c1 d0, a1 b1 c0 d1);
        (b0, b1) = (second_first(b1, b0), second_first(b0, b1));
        (d0, d1) = (second_first(d0, d1), second_first(d1, d0));
        for (row, vector) in [a0, a1, b0, b1, c0, c1, d0, d1].into_iter().enumerate() {
            let index = 2 * row + $half;
            store($out, index, _mm512_xor_si512(vector, $input(index)));
        }
    };
}

#[target_feature(enable = "avx512f")]
fn compress(previous: &Block, reference: &Block, out: &mut Block, early: impl FnOnce(u64)) {
    let input = |index| _mm512_xor_si512(load(previous, index), load(reference, index));
    let mut state = [_mm512_setzero_si512(); 16];
    for (index, vector) in state.iter_mut().enumerate() {
        *vector = input(index);
    }
    {
        round_of_rows!(state, 0);
    }
    {
        round_of_rows!(state, 8);
    }
    {
        round_of_columns!(state, 0, input, out);
    }
    early(out.0[0]);
    {
        round_of_columns!(state, 1, input, out);
    }
}
