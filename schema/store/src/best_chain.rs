//! The chain with the most work that any host has built on: one row, so that a restart does not forget it.
use diesel::{OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use units::{Height, Timestamp};

use crate::db::{locked, txn};
use crate::meta::put;
use crate::schema::meta;
use crate::{Result, Store, StoreError};

const KEY: &str = "best_chain";

/// A chain, as it was when it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BestChain {
    /// Height of its tip.
    pub height: Height,
    /// Sum of difficulties from genesis to its tip. None at all: an operator gave it up, and nothing is expected.
    pub work: u64,
    /// When.
    pub seen_at: Timestamp,
}

impl BestChain {
    fn to_text(self) -> String {
        format!("{} {} {}", self.height, self.work, self.seen_at.ms())
    }

    fn read(text: &str) -> Result<BestChain> {
        let mut parts = text.split(' ');
        let mut read = || {
            let (height, work, ms) = (parts.next()?, parts.next()?, parts.next()?);
            Some(BestChain {
                height: Height::new(height.parse().ok()?),
                work: work.parse().ok()?,
                seen_at: Timestamp::from_ms(ms.parse().ok()?),
            })
        };
        read().ok_or_else(|| StoreError::Damaged { what: KEY.to_owned(), why: format!("`{text}`") })
    }
}

impl Store {
    /// The stored one.
    ///
    /// # Errors
    /// When the database gives no answer, or the row is damaged.
    pub async fn best_chain_get(&self) -> Result<Option<BestChain>> {
        self.meta_get(KEY).await?.map(|text| BestChain::read(&text)).transpose()
    }

    /// Stores it, unless one with as much work is stored.
    ///
    /// # Errors
    /// When the database gives no answer, or the row is damaged.
    pub async fn best_chain_raise(&self, seen: BestChain) -> Result<()> {
        self.run(move |db| async move {
            txn!(db, c => {
                let value = meta::table.find(KEY).select(meta::value);
                let stored: Option<String> = locked!(c, value, get_result).optional()?;
                let stored = stored.map(|text| BestChain::read(&text)).transpose()?;
                if stored.is_none_or(|stored| stored.work < seen.work) {
                    put(c, KEY.to_owned(), seen.to_text()).await?;
                }
            })
        })
        .await
    }

    /// Gives it up: from now on any chain is as good as the best. For an operator who knows that it is gone for good.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn best_chain_give_up(&self, at: Timestamp) -> Result<()> {
        let nothing = BestChain { height: Height::new(0), work: 0, seen_at: at };
        self.meta_set(KEY, &nothing.to_text()).await
    }
}
