//! One share, as the log or the database tells it.
use std::fmt;

use chain::{Address, MerkleRoot};
use store::batch::{ShareBatch, StoredShare};
use store::fold::IdentityKey;
use units::{Difficulty, Minute, Nonce, Timestamp};

/// All that a share says. Equal for both forms of an address: what an older program logged may have been folded by this
/// one.
pub(super) struct ShareFacts<'a> {
    pub(super) line: Option<&'a IdentityKey>,
    pub(super) root: Option<MerkleRoot>,
    pub(super) nonce: Nonce,
    pub(super) difficulty: Difficulty,
    pub(super) received_at: Timestamp,
    pub(super) minute: Minute,
    pub(super) flags: u8,
}

impl PartialEq for ShareFacts<'_> {
    fn eq(&self, other: &ShareFacts<'_>) -> bool {
        let key =
            |told: &ShareFacts<'_>| (told.root, told.nonce, told.difficulty, told.received_at, told.minute, told.flags);
        let is_same_line = match (self.line, other.line) {
            (Some(one), Some(other)) => {
                (&one.worker, one.origin) == (&other.worker, other.origin)
                    && Address::is_same_account(&one.address, &other.address)
            }
            (one, other) => one == other,
        };
        is_same_line && key(self) == key(other)
    }
}

impl<'a> ShareFacts<'a> {
    /// As a stored batch tells it.
    pub(super) fn by_batch(batch: &'a ShareBatch, share: &StoredShare) -> ShareFacts<'a> {
        let place = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        let root = batch.templates.get(place(share.template)).and_then(|root| root.parse().ok());
        let StoredShare { nonce, difficulty, received_at, minute, flags, .. } = *share;
        ShareFacts { line: batch.lines.get(place(share.line)), root, nonce, difficulty, received_at, minute, flags }
    }
}

impl fmt::Display for ShareFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}.{} from {}: ", line.address, line.worker, hex::encode(line.origin))?,
            None => f.write_str("nobody: ")?,
        }
        let root = self.root.map_or_else(|| "no template".to_owned(), |root| root.to_string());
        let (nonce, received, minute) = (self.nonce.get(), self.received_at.ms(), self.minute.0);
        write!(f, "nonce {nonce} on {root}, {}, {received} ms, minute {minute}, flags {}", self.difficulty, self.flags)
    }
}
