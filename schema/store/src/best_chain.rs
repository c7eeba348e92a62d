//! The chain with the most work that any host has built on: one row, so that a restart does not forget it.
use diesel::QueryableByName;
use diesel::sql_types::Text;
use units::{Height, Timestamp};

use crate::db::{Conn, txn};
use crate::sql::binds;
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

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = Text)]
    value: String,
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
                let select = format!("SELECT value FROM meta WHERE key = $1{}", c.for_update());
                let stored: Vec<Stored> = c.rows(&select, binds![KEY]).await?;
                let stored = stored.into_iter().next().map(|row| BestChain::read(&row.value)).transpose()?;
                if stored.is_none_or(|stored| stored.work < seen.work) {
                    put(c, seen).await?;
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
        self.run(move |db| async move { txn!(db, c => put(c, nothing).await?) }).await
    }
}

async fn put(c: &mut Conn<'_>, chain: BestChain) -> Result<()> {
    let upsert = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    c.run(upsert, binds![KEY, chain.to_text()]).await?;
    Ok(())
}
