//! What is to be posted.

/// One side of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPosting {
    /// Account key, as `accounting::Account` prints it (`payable:ADDRESS`, `inflight:ADDRESS`, `pool_fee`, ...).
    /// An account that does not exist yet is made; the part before the colon is its kind, the part after it the
    /// miner's address. The account of a text that was joined into another one is that one's.
    pub account: String,
    /// Signed atoms, never 0. Positive increases what the account holds.
    pub amount: i64,
}

/// Something that happened to money, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// `block_credited`, `payout_reserved`, ...
    pub kind: &'static str,
    /// Unique per kind.
    pub reference: String,
    /// At least two, summing to zero.
    pub postings: Vec<NewPosting>,
}

// === impl NewEntry ===

/// Kind, reference, and what each account gains.
impl From<(&'static str, &str, Vec<(String, i64)>)> for NewEntry {
    fn from((kind, reference, postings): (&'static str, &str, Vec<(String, i64)>)) -> NewEntry {
        let postings = postings.into_iter().map(|(account, amount)| NewPosting { account, amount });
        NewEntry { kind, reference: reference.to_owned(), postings: postings.collect() }
    }
}

impl NewEntry {
    /// # Panics
    /// Unless it has at least two postings, none of them zero, that sum to zero: a writer's mistake.
    pub fn assert_balanced(&self) {
        let (kind, reference) = (self.kind, &self.reference);
        assert!(!kind.is_empty(), "an entry has a kind");
        assert!(!reference.is_empty(), "entry {kind} has a reference");
        assert!(self.postings.len() >= 2, "entry {kind} {reference} has at least two postings");
        assert!(self.postings.iter().all(|posting| posting.amount != 0), "entry {kind} {reference} posts no zeros");
        let sum: i128 = self.postings.iter().map(|posting| i128::from(posting.amount)).sum();
        assert!(sum == 0, "entry {kind} {reference} sums to zero, not {sum}");
    }
}

/// The kind and the miner's address in an account's key.
pub(crate) fn account_parts(key: &str) -> (&str, Option<&str>) {
    match key.split_once(':') {
        Some((kind, address)) => (kind, Some(address)),
        None => (key, None),
    }
}
