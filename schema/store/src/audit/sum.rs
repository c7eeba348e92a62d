//! Sums of shares and their work, and a batch by itself.
use super::Findings;
use crate::batch::ShareBatch;
use crate::fold::BatchRow;

/// How many shares, and their work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) shares: u128,
    pub(super) work: u128,
}

impl Sum {
    /// Adds one share.
    pub(super) fn add(&mut self, difficulty: u64) {
        self.shares += 1;
        self.work += u128::from(difficulty);
    }

    /// As columns have it.
    pub(super) fn stored(shares: i64, work: i64) -> Sum {
        let positive = |sum: i64| u128::try_from(sum).unwrap_or(0);
        Sum { shares: positive(shares), work: positive(work) }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} shares, {} work", self.shares, self.work)
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Sum) {
        self.shares += other.shares;
        self.work += other.work;
    }
}

/// The row says what the body holds.
pub(super) fn check_row(row: &BatchRow, batch: &ShareBatch, subject: &str, found: &mut Findings) {
    let mut sum = Sum::default();
    batch.shares.iter().for_each(|share| sum.add(share.difficulty.get()));
    let stored = Sum { shares: row.shares.into(), work: row.work.get().into() };
    if sum != stored {
        found.add("batch holds what its row says", subject, stored, sum);
    }
    let ends = batch.shares.first().zip(batch.shares.last()).map(|(first, last)| (first.seq, last.seq));
    if ends != Some((row.first_seq, row.last_seq)) {
        found.add("batch holds what its row says", subject, row.first_seq, format!("{ends:?}"));
    }
    if !batch.shares.is_sorted_by(|before, after| before.seq < after.seq) {
        found.add("batch is in order", subject, "shares", "not in order of their positions");
    }
    let digest = batch.digest();
    if digest != row.digest {
        found.add("batch has its digest", subject, hex::encode(row.digest), hex::encode(digest));
    }
}
