//! A block's money: posted and moved in one transaction.
use accounting::Entry;
use units::{BlockRowId, Timestamp};

use super::{expect_one, weights};
use crate::db::txn;
use crate::ledger::{Balances, MONEY_LEASE, entry_post_in_txn, lease_check_in_txn};
use crate::sql::binds;
use crate::{Result, Store, StoreError};

impl Store {
    /// Posts the credit and moves the block (`confirmed` or `reversed`) to `credited`, in one transaction.
    /// The entry's reference makes it happen once; `false` if it had happened.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` when the block is in another state, or the reference is there with other postings.
    pub async fn block_credit(&self, epoch: i64, block: BlockRowId, entry: Entry, at: Timestamp) -> Result<bool> {
        self.run(move |db| async move {
            txn!(db, c => {
                let posted = entry_post_in_txn(c, epoch, &entry, at).await?;
                if posted {
                    let update = "UPDATE blocks SET state = 'credited', credits = credits + 1, credited_at = $1 \
                                  WHERE id = $2 AND state IN ('confirmed', 'reversed')";
                    let moved = c.run(update, binds![at.ms(), block.0]).await?;
                    expect_one(moved, block)?;
                }
                posted
            })
        })
        .await
    }

    /// Posts the reversal and moves the block from `credited` to `reversed`, in one transaction. The caller's
    /// `build` gets every affected balance under lock and returns the entry: those of the credit
    /// entry with the reference `credited`, and the pool's fees.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` when the block is not credited.
    pub async fn block_reverse<F>(
        &self,
        epoch: i64,
        block: BlockRowId,
        credited: &str,
        at: Timestamp,
        build: F,
    ) -> Result<()>
    where
        F: FnOnce(&Balances) -> Entry + Send + 'static,
    {
        let credited = credited.to_owned();
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let update = "UPDATE blocks SET state = 'reversed', reversals = reversals + 1 \
                              WHERE id = $1 AND state = 'credited'";
                let moved = c.run(update, binds![block.0]).await?;
                expect_one(moved, block)?;
                let entry = build(&weights::balances_lock(c, &credited).await?);
                if !entry_post_in_txn(c, epoch, &entry, at).await? {
                    let what = format!("entry {} {}, which was there before its block was reversed", entry.kind(), entry.reference());
                    return Err(StoreError::Conflict { what });
                }
            })
        })
        .await
    }
}
