//! A block's money: posted and moved in one transaction.
use accounting::Entry;
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use units::{BlockRowId, Timestamp};

use super::{BlockState, expect_one, weights};
use crate::db::{on, txn};
use crate::ledger::{Balances, MONEY_LEASE, entry_post_in_txn, lease_check_in_txn};
use crate::schema::blocks;
use crate::{Result, Store, StoreError};

impl Store {
    /// Posts the credit and moves the block (`confirmed` or `reversed`) to `credited`, in one transaction.
    /// The entry's reference makes it happen once; `false` if it had happened.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` when the block is in another state, or the reference is there with other postings.
    pub async fn block_credit(&self, epoch: i64, block: BlockRowId, entry: Entry, at: Timestamp) -> Result<bool> {
        self.run(move |db| async move {
            txn!(db, conn => {
                let posted = entry_post_in_txn(conn, epoch, &entry, at).await?;
                if posted {
                    let uncredited = [BlockState::Confirmed.as_str(), BlockState::Reversed.as_str()];
                    let uncredited = blocks::table.find(block.0).filter(blocks::state.eq_any(uncredited));
                    let update = diesel::update(uncredited).set((
                        blocks::state.eq(BlockState::Credited.as_str()),
                        blocks::credits.eq(blocks::credits + 1),
                        blocks::credited_at.eq(at.ms()),
                    ));
                    expect_one(on!(conn, c => update.execute(c).await)?, block)?;
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
            txn!(db, conn => {
                lease_check_in_txn(conn, MONEY_LEASE, epoch).await?;
                let is_credited = blocks::state.eq(BlockState::Credited.as_str());
                let update = diesel::update(blocks::table.find(block.0).filter(is_credited)).set((
                    blocks::state.eq(BlockState::Reversed.as_str()),
                    blocks::reversals.eq(blocks::reversals + 1),
                ));
                expect_one(on!(conn, c => update.execute(c).await)?, block)?;
                let entry = build(&weights::balances_lock(conn, &credited).await?);
                if !entry_post_in_txn(conn, epoch, &entry, at).await? {
                    let what = format!("entry {} {}, which was there before its block was reversed", entry.kind(), entry.reference());
                    return Err(StoreError::Conflict { what });
                }
            })
        })
        .await
    }
}
