//! Job ids and nonce ranges.
//!
//! What is promised: no (template, nonce) is assigned twice, so a session's own set of taken nonces finds every
//! duplicate. Why it holds:
//! - Every template is fetched by one process and has a coinbase, so a merkle root, of its own: two processes, one
//!   after the other or side by side, never assign from the same template.
//! - Within a process a range's place holds the arbiter's number: two arbiters have no range in common.
//! - One arbiter numbers its ranges by turns, which come round after 2^24 of them. It does not assign more than that
//!   from one template: [`Ranges::take`] gives none then, and the next template, seconds later, starts a new count.
//!
//! Beyond that the era's low bits keep the ranges of a process apart from those of the 31 processes before it.
//!
//! Job ids need no such care: 20 bits of era, 4 of arbiter and 40 of turn outlast the hardware. They are never reused.
use units::Nonce;

/// Numbers the processes that ever served this pool; the installation's database counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessNumber(pub u32);

/// Nonces of one assignment. A farm of 10 kH/s takes a day for them, so nobody idles at the end of a range.
pub(crate) const RANGE_WIDTH: u64 = 1 << WIDTH_BITS;
const WIDTH_BITS: u32 = 30;
/// Assignments of one arbiter from one template.
const TURN_BITS: u32 = 24;
const ARBITER_BITS: u32 = 4;
const ERA_BITS: u32 = 5;
const JOB_TURN_BITS: u32 = 40;
const JOB_ERA_BITS: u32 = 20;
/// Arbiters that ranges are set aside for.
pub(crate) const ARBITERS_MAX: u8 = 1 << ARBITER_BITS;
// Nonces fit a signed column, job ids fill their 16 digits.
const _: () = assert!(ERA_BITS + ARBITER_BITS + TURN_BITS + WIDTH_BITS == 63);
const _: () = assert!(JOB_ERA_BITS + ARBITER_BITS + JOB_TURN_BITS == 64);

/// One arbiter's supply.
#[derive(Debug)]
pub(crate) struct Ranges {
    era: ProcessNumber,
    arbiter: u8,
    next: u64,
    /// The template that is assigned from, by its local id, and the first turn of it.
    template: Option<(u64, u64)>,
}

/// What a job is named and which nonces it may try, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) job_id: u64,
    pub(crate) first: Nonce,
    pub(crate) last: Nonce,
}

impl Ranges {
    pub(crate) fn new(era: ProcessNumber, arbiter: u8) -> Ranges {
        debug_assert!(arbiter < ARBITERS_MAX);
        Ranges { era, arbiter, next: 0, template: None }
    }

    /// A range of this template that nobody else has; `None` when there is none left. An arbiter that has gone on to
    /// another template never comes back to this one.
    pub(crate) fn take(&mut self, template: u64) -> Option<Range> {
        let turn = self.next;
        let first_turn = match self.template {
            Some((current, first_turn)) if current == template => first_turn,
            _ => self.template.insert((template, turn)).1,
        };
        if turn - first_turn >= 1 << TURN_BITS || turn >= 1 << JOB_TURN_BITS {
            return None;
        }
        self.next += 1;
        let (era, arbiter) = (u64::from(self.era.0), u64::from(self.arbiter));
        let job_id = (low_bits(era, JOB_ERA_BITS) << ARBITER_BITS | arbiter) << JOB_TURN_BITS | turn;
        let place = (low_bits(era, ERA_BITS) << ARBITER_BITS | arbiter) << TURN_BITS | low_bits(turn, TURN_BITS);
        let first = place << WIDTH_BITS;
        Some(Range { job_id, first: Nonce::new(first), last: Nonce::new(first + (RANGE_WIDTH - 1)) })
    }
}

fn low_bits(number: u64, bits: u32) -> u64 {
    number & ((1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_nonce_fits_a_signed_column() {
        let last_turn = (1 << TURN_BITS) - 1;
        let mut ranges = Ranges { next: last_turn, ..Ranges::new(ProcessNumber(u32::MAX), ARBITERS_MAX - 1) };
        let range = ranges.take(1).unwrap();
        assert_eq!(
            (range.last.get(), range.last.get() - range.first.get()),
            (i64::MAX.unsigned_abs(), RANGE_WIDTH - 1)
        );
    }

    #[test]
    fn ranges_and_job_ids_of_arbiters_and_restarts_never_meet() {
        let (mut jobs, mut places) = (HashSet::new(), HashSet::new());
        for era in 0..1 << ERA_BITS {
            for arbiter in 0..ARBITERS_MAX {
                let mut ranges = Ranges::new(ProcessNumber(era), arbiter);
                for turn in 0..100 {
                    let range = ranges.take(turn / 10).unwrap();
                    assert!(jobs.insert(range.job_id) && places.insert(range.first.get() / RANGE_WIDTH));
                    assert_eq!((range.first.get() % RANGE_WIDTH, range.last.get() % RANGE_WIDTH), (0, RANGE_WIDTH - 1));
                }
            }
        }
        let again = Ranges::new(ProcessNumber(1 << ERA_BITS), 0).take(0).unwrap();
        assert!(jobs.insert(again.job_id), "ranges come round, names do not");
    }

    #[test]
    fn one_template_never_has_a_range_twice_and_the_next_one_starts_afresh() {
        let most = 1 << TURN_BITS;
        let mut ranges = Ranges { next: most - 3, ..Ranges::new(ProcessNumber(0), 0) };
        let first = ranges.take(1).unwrap();
        // As if all the others had been taken.
        ranges.next += most - 2;
        let last = ranges.take(1).unwrap();
        assert_ne!(first.first, last.first);
        assert_eq!(ranges.take(1), None, "the next one would be the first one again");
        assert_eq!(ranges.take(1), None);
        let other = ranges.take(2).unwrap();
        assert_eq!((other.first, other.job_id), (first.first, last.job_id + 1));
    }
}
