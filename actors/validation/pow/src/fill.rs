//! The order in which the memory is filled: Argon2id with one pass and one lane.
//!
//! Each block is made of the one before it and a reference block anywhere earlier. In the first half the references are
//! a function of position alone; in the second half they depend on the memory itself.
use crate::block::{Block, Compress, WORDS, prefetch};

/// Slices per pass.
const SLICES: usize = 4;
/// In the first half, references are known ahead: fetch this many blocks before use. More gains nothing.
const FETCH_AHEAD: usize = 3;
/// Where an address block's input holds its counter.
const COUNTER: usize = 6;

/// Which earlier block `random` points at, when `area` of them may be chosen: all but the previous one. The rule
/// prefers younger blocks.
#[inline(always)]
fn reference_index(random: u64, area: usize) -> usize {
    let area = area as u64;
    let x = random & 0xFFFF_FFFF;
    let skewed = (x * x) >> 32;
    let back = (area * skewed) >> 32;
    (area - 1 - back) as usize
}

/// The random words of the first half, made 128 at a time from a counter. Two pages are kept, so that one can look
/// ahead over the edge of a page.
struct Addresses<C> {
    compress: C,
    input: Block,
    pages: [Block; 2],
    made: usize,
}

impl<C: Compress> Addresses<C> {
    fn new(compress: C, slice: usize, blocks: usize) -> Addresses<C> {
        let mut input = Block::ZERO;
        let (pass, lane, passes, type_id) = (0, 0, 1, 2);
        input.0[..COUNTER].copy_from_slice(&[pass, lane, slice as u64, blocks as u64, passes, type_id]);
        Addresses { compress, input, pages: [Block::ZERO; 2], made: 0 }
    }

    /// The word for the block at `index` of the slice. Indexes may grow, or fall back by less than a page.
    #[inline(always)]
    fn word(&mut self, index: usize) -> u64 {
        let page = index / WORDS;
        while self.made <= page {
            self.make_page();
        }
        self.pages[page % 2].0[index % WORDS]
    }

    #[inline(never)]
    fn make_page(&mut self) {
        self.input.0[COUNTER] += 1;
        let mut once = Block::ZERO;
        self.compress.compress(&Block::ZERO, &self.input, &mut once, |_| ());
        self.compress.compress(&Block::ZERO, &once, &mut self.pages[self.made % 2], |_| ());
        self.made += 1;
    }
}

/// Fills the memory behind its first two blocks.
pub(crate) fn fill<C: Compress>(compress: C, memory: &mut [Block]) {
    assert!(memory.len() >= 2 * SLICES && memory.len().is_multiple_of(SLICES), "an arena has whole slices");
    let slice_blocks = memory.len() / SLICES;
    fill_by_position(compress, memory, 0, 2..slice_blocks);
    fill_by_position(compress, memory, 1, 0..slice_blocks);
    fill_by_content(compress, memory, 2 * slice_blocks);
}

fn fill_by_position<C: Compress>(compress: C, memory: &mut [Block], slice: usize, range: std::ops::Range<usize>) {
    let start = slice * (memory.len() / SLICES);
    let end = range.end;
    let mut addresses = Addresses::new(compress, slice, memory.len());
    for index in range {
        let current = start + index;
        let reference = reference_index(addresses.word(index), current - 1);
        let ahead = index + FETCH_AHEAD;
        if ahead < end {
            prefetch(&memory[reference_index(addresses.word(ahead), start + ahead - 1)]);
        }
        let (filled, rest) = memory.split_at_mut(current);
        compress.compress(&filled[current - 1], &filled[reference], &mut rest[0], |_| ());
    }
}

fn fill_by_content<C: Compress>(compress: C, memory: &mut [Block], start: usize) {
    let mut random = memory[start - 1].0[0];
    for current in start..memory.len() {
        let (filled, rest) = memory.split_at_mut(current);
        let reference = reference_index(random, current - 1);
        compress.compress(&filled[current - 1], &filled[reference], &mut rest[0], |first_word| {
            random = first_word;
            prefetch(&filled[reference_index(first_word, current)]);
        });
    }
}
