//! Columns as the types they stand for. A value outside its type's range is damage, never a default.
use accounting::{Account, AccountKind};
use chain::TxId;
use units::{Amount, Difficulty, Height, Minute, Work};

use crate::{Result, StoreError};

fn damaged(what: &str, value: i64) -> StoreError {
    StoreError::Damaged { what: what.to_owned(), why: format!("it holds {value}") }
}

/// A money column.
pub(crate) fn amount(atoms: i64, what: &str) -> Result<Amount> {
    Amount::from_i64(atoms).ok_or_else(|| damaged(what, atoms))
}

/// An account's key.
pub(crate) fn account(key: &str) -> Result<Account> {
    key.parse().map_err(|error: accounting::UnknownAccount| StoreError::Damaged {
        what: "account".to_owned(),
        why: error.to_string(),
    })
}

/// A transaction's id.
pub(crate) fn txid(text: &str, what: &str) -> Result<TxId> {
    text.parse().map_err(|error| StoreError::Damaged { what: what.to_owned(), why: format!("txid {text}: {error}") })
}

/// A kind of account.
pub(crate) fn account_kind(kind: &str) -> Result<AccountKind> {
    AccountKind::parse(kind)
        .ok_or_else(|| StoreError::Damaged { what: "account".to_owned(), why: format!("its kind is `{kind}`") })
}

/// A work column.
pub(crate) fn work(hashes: i64, what: &str) -> Result<Work> {
    Work::from_i64(hashes).ok_or_else(|| damaged(what, hashes))
}

/// A difficulty column.
pub(crate) fn difficulty(hashes: i64, what: &str) -> Result<Difficulty> {
    u64::try_from(hashes).ok().and_then(Difficulty::new).ok_or_else(|| damaged(what, hashes))
}

/// A height column.
pub(crate) fn height(height: i64, what: &str) -> Result<Height> {
    u64::try_from(height).map(Height::new).map_err(|_| damaged(what, height))
}

/// A column that counts something.
pub(crate) fn count(count: i64, what: &str) -> Result<u64> {
    u64::try_from(count).map_err(|_| damaged(what, count))
}

/// A minute column.
pub(crate) fn minute(minute: i64, what: &str) -> Result<Minute> {
    u32::try_from(minute).map(Minute).map_err(|_| damaged(what, minute))
}
