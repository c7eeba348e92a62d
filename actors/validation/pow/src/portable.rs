//! The compression function in plain integers, for any processor.
use crate::block::{Block, Compress, WORDS};

/// Works everywhere.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Compress for Portable {
    #[inline(always)]
    fn compress(self, previous: &Block, reference: &Block, out: &mut Block, early: impl FnOnce(u64)) {
        let mut input = Block::ZERO;
        for (word, (a, b)) in input.0.iter_mut().zip(previous.0.iter().zip(&reference.0)) {
            *word = a ^ b;
        }
        let mut state = input;
        for row in state.0.as_chunks_mut::<16>().0 {
            round(row);
        }
        for column in 0..8 {
            round_of_column(&mut state.0, column);
        }
        for (word, (a, b)) in out.0.iter_mut().zip(state.0.iter().zip(&input.0)) {
            *word = a ^ b;
        }
        early(out.0[0]);
    }
}

/// A column is eight cells of two words, one in each row.
#[inline(always)]
fn round_of_column(state: &mut [u64; WORDS], column: usize) {
    let mut cells = [0; 16];
    for row in 0..8 {
        cells[2 * row] = state[16 * row + 2 * column];
        cells[2 * row + 1] = state[16 * row + 2 * column + 1];
    }
    round(&mut cells);
    for row in 0..8 {
        state[16 * row + 2 * column] = cells[2 * row];
        state[16 * row + 2 * column + 1] = cells[2 * row + 1];
    }
}

/// The permutation `P`: a BLAKE2b round, first down the columns of a 4 by 4 matrix and then down its diagonals.
#[inline(always)]
fn round(v: &mut [u64; 16]) {
    mix(v, 0, 4, 8, 12);
    mix(v, 1, 5, 9, 13);
    mix(v, 2, 6, 10, 14);
    mix(v, 3, 7, 11, 15);
    mix(v, 0, 5, 10, 15);
    mix(v, 1, 6, 11, 12);
    mix(v, 2, 7, 8, 13);
    mix(v, 3, 4, 9, 14);
}

/// BLAKE2b's `G`, with the multiplying addition of Argon2.
#[inline(always)]
fn mix(v: &mut [u64; 16], a: usize, b: usize, c: usize, d: usize) {
    v[a] = multiply_add(v[a], v[b]);
    v[d] = (v[d] ^ v[a]).rotate_right(32);
    v[c] = multiply_add(v[c], v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(24);
    v[a] = multiply_add(v[a], v[b]);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = multiply_add(v[c], v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(63);
}

/// `x + y + 2 * low(x) * low(y)`, where `low` is the lower half.
#[inline(always)]
fn multiply_add(x: u64, y: u64) -> u64 {
    let low = |word: u64| word & 0xFFFF_FFFF;
    x.wrapping_add(y).wrapping_add(2_u64.wrapping_mul(low(x) * low(y)))
}
