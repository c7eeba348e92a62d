//! What payouts know of the wallet, and why they stand: one row, and it goes back with the database.
use diesel::dsl::case_when;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use units::{Height, Timestamp};

use super::{IntentState, intent_move};
use crate::db::{on, q, txn};
use crate::ledger::{MONEY_LEASE, lease_check_in_txn};
use crate::schema::payout_books;
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError, column};

/// Up to where every send of a wallet was in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMark {
    /// Address of the wallet.
    pub wallet: String,
    /// The tip when it was read.
    pub height: Height,
    /// How many of its sends were clearly older than that.
    pub sends: u64,
}

/// One reason why nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// A short name that stays.
    pub code: String,
    /// For operators: with sums, files and the next step.
    pub text: String,
    /// Since when, in milliseconds.
    pub since_ms: i64,
    /// An operator wants it so.
    pub is_wanted: bool,
}

/// The row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayoutBooks {
    /// How often the wallet was, or may have been, asked to send.
    pub steps: u64,
    /// The same as a data directory has it, where that is more: the books are older than the wallet.
    pub steps_ahead: Option<u64>,
    /// Up to where the wallet's sends are known.
    pub read: Option<ReadMark>,
    /// Why payouts stand, as whoever may send last said; empty when nothing holds them, `None` when nobody ever said.
    pub holds: Option<Vec<Hold>>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = payout_books)]
struct Row {
    steps: i64,
    steps_ahead: Option<i64>,
    read_wallet: Option<String>,
    read_height: Option<i64>,
    read_sends: Option<i64>,
    standing: Option<String>,
}

/// What of the row changes; the other columns stay.
#[derive(Default, AsChangeset)]
#[diesel(table_name = payout_books)]
struct Changes {
    steps_ahead: Option<Option<i64>>,
    read_wallet: Option<String>,
    read_height: Option<i64>,
    read_sends: Option<i64>,
    standing: Option<String>,
}

#[derive(QueryableByName)]
struct LeaseEnd {
    #[diesel(sql_type = BigInt)]
    expires_at: i64,
    #[diesel(sql_type = BigInt)]
    now: i64,
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl TryFrom<Row> for PayoutBooks {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<PayoutBooks> {
        let read = match (row.read_wallet, row.read_height, row.read_sends) {
            (Some(wallet), Some(height), Some(sends)) => {
                Some(ReadMark { wallet, height: column::height(height, "payout books")?, sends: count(sends) })
            }
            _ => None,
        };
        Ok(PayoutBooks {
            steps: count(row.steps),
            steps_ahead: row.steps_ahead.map(count),
            read,
            // One of another version is as good as none: it is written again soon.
            holds: row.standing.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }
}

impl Store {
    /// The row.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn payout_books(&self) -> Result<PayoutBooks> {
        self.run(|db| async move {
            let row: Option<Row> =
                q!(db, read, c => payout_books::table.select(Row::as_select()).first(c).await.optional())?;
            row.map_or_else(|| Ok(PayoutBooks::default()), PayoutBooks::try_from)
        })
        .await
    }

    /// All sends of a wallet up to there are in the books.
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn payout_read_mark(&self, epoch: i64, mark: ReadMark) -> Result<()> {
        let sends = i64::try_from(mark.sends).unwrap_or(i64::MAX);
        let changes = Changes {
            read_wallet: Some(mark.wallet),
            read_height: Some(mark.height.to_i64()),
            read_sends: Some(sends),
            ..Changes::default()
        };
        self.books_set(epoch, changes).await
    }

    /// Says why payouts stand.
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn payout_holds_put(&self, epoch: i64, holds: &[Hold]) -> Result<()> {
        let text = serde_json::to_string(holds).expect("texts and numbers are JSON");
        self.books_set(epoch, Changes { standing: Some(text), ..Changes::default() }).await
    }

    /// A data directory has counted more steps than the books (`Some`), or not (`None`).
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn payout_steps_ahead(&self, epoch: i64, ahead: Option<u64>) -> Result<()> {
        let ahead = ahead.map(|steps| i64::try_from(steps).unwrap_or(i64::MAX));
        self.books_set(epoch, Changes { steps_ahead: Some(ahead), ..Changes::default() }).await
    }

    /// The wallet's own history says that nothing is missing: the count goes on from there.
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn payout_steps_raise(&self, epoch: i64, steps: u64) -> Result<()> {
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                // In one statement: an operator may raise it at the same time.
                let raised = case_when(payout_books::steps.lt(steps), steps.into_sql::<BigInt>()).otherwise(payout_books::steps);
                let raise = diesel::update(payout_books::table)
                    .set((payout_books::steps.eq(raised), payout_books::steps_ahead.eq(None::<i64>)));
                on!(c, c => raise.execute(c).await)?;
            })
        })
        .await
    }

    /// An operator says that the books are not to be held up by the steps that a data directory has counted beyond them.
    /// `false` when there are none.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn payout_steps_accept(&self, ahead: u64) -> Result<bool> {
        let ahead = i64::try_from(ahead).unwrap_or(i64::MAX);
        self.run(move |db| async move {
            let accept = diesel::update(payout_books::table.filter(payout_books::steps_ahead.eq(ahead)))
                .set((payout_books::steps.eq(ahead), payout_books::steps_ahead.eq(None::<i64>)));
            Ok(q!(db, write, c => accept.execute(c).await)? == 1)
        })
        .await
    }

    async fn books_set(&self, epoch: i64, changes: Changes) -> Result<()> {
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let update = diesel::update(payout_books::table).set(changes);
                on!(c, c => update.execute(c).await)?;
            })
        })
        .await
    }

    /// Moves a reserved intent to `unknown` because the wallet is about to be asked, and counts that step; the count.
    ///
    /// # Errors
    /// `Conflict` when it is not reserved, `Fenced` when `epoch` is not the lease's.
    pub async fn intent_ask(&self, epoch: i64, id: &str) -> Result<u64> {
        let id = id.to_owned();
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                intent_move(c, &id, IntentState::Reserved, IntentState::Unknown).await?;
                let next = diesel::update(payout_books::table)
                    .set(payout_books::steps.eq(payout_books::steps + 1))
                    .returning(payout_books::steps);
                let steps: Option<i64> = on!(c, c => next.get_result(c).await.optional())?;
                steps.map_or(0, count)
            })
        })
        .await
    }

    /// Since when nobody holds the money lease by the database's clock; `None` while somebody does.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn money_lease_free_since(&self) -> Result<Option<Timestamp>> {
        self.run(|db| async move {
            let select = statement!("standing/lease.sql");
            let lease: Vec<LeaseEnd> = db.read().await?.conn().load_file(select, binds![MONEY_LEASE]).await?;
            let [lease] = lease.as_slice() else { return Ok(Some(Timestamp::from_ms(0))) };
            Ok((lease.expires_at <= lease.now).then(|| Timestamp::from_ms(lease.expires_at)))
        })
        .await
    }
}
