//! What can be wrong with a request to the books.
use units::Amount;

use crate::entry_kind::EntryKind;

/// The numbers given do not make sense. Nothing was changed; these are pure functions.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AccountingError {
    /// Work of one miner beyond `i64::MAX` expected hashes.
    #[error("work of {0} is beyond the largest number")]
    WorkOverflow(String),
    /// Money beyond `i64::MAX` atoms.
    #[error("{0} sum beyond the largest amount")]
    AmountOverflow(&'static str),
    /// The recipients cannot bear the fee.
    #[error("network fee {fee} is more than the {gross} to be paid")]
    FeeTooLarge {
        /// To be borne.
        fee: Amount,
        /// All there is.
        gross: Amount,
    },
    /// More was given away than came in.
    #[error("{out} cannot be taken from {from}")]
    Overspent {
        /// What came in.
        from: Amount,
        /// What was to go out.
        out: Amount,
    },
    /// The postings of an entry do not sum to zero.
    #[error("entry {kind} {reference} is off by {off_by} atoms")]
    Unbalanced {
        /// Kind of the entry.
        kind: EntryKind,
        /// Its reference.
        reference: String,
        /// The sum that should be zero.
        off_by: i128,
    },
    /// An entry has no reference that would make it happen once.
    #[error("entry {kind} has no reference")]
    Unnamed {
        /// Kind of the entry.
        kind: EntryKind,
    },
    /// Fewer than two accounts change.
    #[error("entry {kind} {reference} moves no money")]
    Empty {
        /// Kind of the entry.
        kind: EntryKind,
        /// Its reference.
        reference: String,
    },
}
