//! Miners that were another miner once: older programs kept accounts under the legacy text of an address, too.
//!
//! Such a text has a row of its own, which names the miner that it was joined into. What was made under it before stays
//! (share batches, weights, entries, recipients of payouts); whatever is read or written now means the other one.
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use accounting::Entry;
use diesel::dsl::auto_type;
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;

use crate::db::{Conn, on, q};
use crate::schema::miners;
use crate::{Result, Store};

diesel::alias! {
    const NEW: Alias<New> = miners as new;
}

/// Miners (`miners`) that were joined into another one ([`NEW`]).
#[auto_type]
fn joined_miners() -> _ {
    let is_new = NEW.field(miners::id).nullable().eq(miners::joined_into);
    miners::table.inner_join(NEW.on(is_new))
}

/// All of them, for who compares what is stored with what was made earlier.
#[derive(Debug, Default)]
pub(crate) struct Joined(HashMap<String, String>);

impl Joined {
    pub(crate) async fn load(c: &mut Conn<'_>) -> Result<Joined> {
        let pairs = joined_miners().select((miners::address, NEW.field(miners::address)));
        let pairs: Vec<(String, String)> = on!(c, c => pairs.load(c).await)?;
        Ok(Joined(pairs.into_iter().collect()))
    }

    /// The text of the miner that `address` is now.
    pub(crate) fn now<'a>(&'a self, address: &'a str) -> &'a str {
        self.0.get(address).map_or(address, String::as_str)
    }

    /// Whether another miner was joined under this text.
    pub(crate) fn is_old(&self, address: &str) -> bool {
        self.0.contains_key(address)
    }

    /// Each old text and the new one.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(old, new)| (old.as_str(), new.as_str()))
    }

    /// The account that `key` is now.
    pub(crate) fn account(&self, key: &str) -> String {
        account_now(key, |address| self.0.get(address))
    }

    /// The same amounts, by the accounts that theirs are now.
    pub(crate) fn postings(&self, postings: &BTreeMap<String, i128>) -> BTreeMap<String, i128> {
        let mut now = BTreeMap::new();
        for (key, amount) in postings {
            *now.entry(self.account(key)).or_default() += amount;
        }
        now
    }
}

fn account_now<'a>(key: &str, now: impl FnOnce(&str) -> Option<&'a String>) -> String {
    let parts = key.split_once(':').and_then(|(kind, address)| Some((kind, now(address)?)));
    parts.map_or_else(|| key.to_owned(), |(kind, address)| format!("{kind}:{address}"))
}

impl Store {
    /// The text of the miner that this address is now: another one where two texts of the same keys were joined.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn address_now(&self, address: &str) -> Result<String> {
        let new = joined_miners().filter(miners::address.eq(address.to_owned())).select(NEW.field(miners::address));
        let new: Option<String> =
            self.run(|db| async move { Ok(q!(db, read, c => new.get_result(c).await.optional())?) }).await?;
        Ok(new.unwrap_or_else(|| address.to_owned()))
    }
}

/// The entry on the accounts that its own are now: payouts and credits that were begun under a text which was joined end
/// on the account of the other one.
pub(crate) async fn entry_now<'a>(c: &mut Conn<'_>, entry: &'a Entry) -> Result<Cow<'a, Entry>> {
    let addresses: Vec<&str> = entry.postings().iter().filter_map(|posting| posting.account.owner()).collect();
    let mut joined = HashMap::new();
    for page in addresses.chunks(ADDRESSES_PER_QUERY) {
        let pairs = joined_miners()
            .filter(miners::address.eq_any(page.to_vec()))
            .select((miners::address, NEW.field(miners::address)));
        let pairs: Vec<(String, String)> = on!(c, c => pairs.load(c).await)?;
        joined.extend(pairs);
    }
    if joined.is_empty() {
        return Ok(Cow::Borrowed(entry));
    }
    let postings = entry.postings().iter().map(|posting| {
        let now = posting.account.owner().and_then(|address| joined.get(address));
        (now.map_or_else(|| posting.account.clone(), |address| posting.account.of(address)), posting.amount)
    });
    let now = Entry::new(entry.kind(), entry.reference(), postings).map_err(|error| crate::StoreError::Damaged {
        what: format!("entry {} {}", entry.kind(), entry.reference()),
        why: error.to_string(),
    })?;
    Ok(Cow::Owned(now))
}

/// Well below either database's limit of parameters.
const ADDRESSES_PER_QUERY: usize = 500;
