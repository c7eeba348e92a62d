//! Job ids and nonce ranges that no other connection, thread, process or restart has.
use units::Nonce;

/// Numbers the processes that ever served this pool; the installation's database counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Era(pub u32);

/// Nonces of one assignment. A farm of 10 kH/s takes a day for them, so nobody idles at the end of a range.
pub(crate) const RANGE_WIDTH: u64 = 1_000_000_000;
/// Assignments of one arbiter before its ranges come round again: their templates are long gone then.
const RANGE_BITS: u32 = 22;
const ARBITER_BITS: u32 = 4;
const ERA_BITS: u32 = 7;
const JOB_BITS: u32 = 28;
/// Arbiters that ranges are set aside for.
pub(crate) const ARBITERS_MAX: u8 = 1 << ARBITER_BITS;

/// One arbiter's supply.
#[derive(Debug)]
pub(crate) struct Ranges {
    era: Era,
    arbiter: u8,
    next: u64,
}

/// What a job is named and which nonces it may try, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) job_id: u64,
    pub(crate) first: Nonce,
    pub(crate) last: Nonce,
}

impl Ranges {
    pub(crate) fn new(era: Era, arbiter: u8) -> Ranges {
        debug_assert!(arbiter < ARBITERS_MAX);
        Ranges { era, arbiter, next: 0 }
    }

    pub(crate) fn take(&mut self) -> Range {
        let turn = self.next;
        self.next += 1;
        let arbiter = u64::from(self.arbiter);
        let job_id = u64::from(self.era.0) << 32 | arbiter << JOB_BITS | low_bits(turn, JOB_BITS);
        let era = low_bits(u64::from(self.era.0), ERA_BITS);
        let place = (era << ARBITER_BITS | arbiter) << RANGE_BITS | low_bits(turn, RANGE_BITS);
        let first = place * RANGE_WIDTH;
        Range { job_id, first: Nonce::new(first), last: Nonce::new(first + (RANGE_WIDTH - 1)) }
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
        let mut ranges = Ranges { era: Era(u32::MAX), arbiter: ARBITERS_MAX - 1, next: (1 << RANGE_BITS) - 1 };
        assert!(ranges.take().last.get() <= i64::MAX.unsigned_abs());
    }

    #[test]
    fn ranges_and_job_ids_of_arbiters_and_restarts_never_meet() {
        let (mut jobs, mut places) = (HashSet::new(), HashSet::new());
        for era in 0..4 {
            for arbiter in 0..4 {
                let mut ranges = Ranges::new(Era(era), arbiter);
                for _ in 0..100 {
                    let range = ranges.take();
                    assert!(jobs.insert(range.job_id) && places.insert(range.first.get() / RANGE_WIDTH));
                    assert_eq!(range.last.get() - range.first.get() + 1, RANGE_WIDTH);
                }
            }
        }
    }
}
