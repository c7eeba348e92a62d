//! What payouts know of the wallet, and why they stand: one row, and it goes back with the database.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::{Deserialize, Serialize};
use units::{Height, Timestamp};

use super::{IntentState, intent_move};
use crate::db::txn;
use crate::ledger::{MONEY_LEASE, lease_check_in_txn};
use crate::sql::{Bind, binds};
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

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    steps: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    steps_ahead: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    read_wallet: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    read_height: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    read_sends: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    standing: Option<String>,
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
        let select = "SELECT steps, steps_ahead, read_wallet, read_height, read_sends, standing FROM payout_books";
        let row = self.rows::<Row>(select, binds![]).await?.into_iter().next();
        row.map_or_else(|| Ok(PayoutBooks::default()), PayoutBooks::try_from)
    }

    /// All sends of a wallet up to there are in the books.
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn payout_read_mark(&self, epoch: i64, mark: ReadMark) -> Result<()> {
        let sends = i64::try_from(mark.sends).unwrap_or(i64::MAX);
        let update = "UPDATE payout_books SET read_wallet = $1, read_height = $2, read_sends = $3";
        self.books_set(epoch, update, binds![mark.wallet, mark.height.to_i64(), sends]).await
    }

    /// Says why payouts stand.
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn payout_holds_put(&self, epoch: i64, holds: &[Hold]) -> Result<()> {
        let text = serde_json::to_string(holds).expect("texts and numbers are JSON");
        self.books_set(epoch, "UPDATE payout_books SET standing = $1", binds![text]).await
    }

    /// A data directory has counted more steps than the books (`Some`), or not (`None`).
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn payout_steps_ahead(&self, epoch: i64, ahead: Option<u64>) -> Result<()> {
        let ahead = ahead.map(|steps| i64::try_from(steps).unwrap_or(i64::MAX));
        self.books_set(epoch, "UPDATE payout_books SET steps_ahead = $1", binds![ahead]).await
    }

    /// The wallet's own history says that nothing is missing: the count goes on from there.
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn payout_steps_raise(&self, epoch: i64, steps: u64) -> Result<()> {
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        let update = "UPDATE payout_books SET steps_ahead = NULL, \
                      steps = CASE WHEN steps < $1 THEN $1 ELSE steps END";
        self.books_set(epoch, update, binds![steps]).await
    }

    /// An operator says that the books are not to be held up by the steps that a data directory has counted beyond them.
    /// `false` when there are none.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn payout_steps_accept(&self, ahead: u64) -> Result<bool> {
        let update = "UPDATE payout_books SET steps = steps_ahead, steps_ahead = NULL WHERE steps_ahead = $1";
        let ahead = i64::try_from(ahead).unwrap_or(i64::MAX);
        Ok(self.exec(update, binds![ahead]).await? == 1)
    }

    async fn books_set(&self, epoch: i64, update: &'static str, binds: Vec<Bind>) -> Result<()> {
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                c.run(update, binds).await?;
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
                let next = "UPDATE payout_books SET steps = steps + 1 RETURNING steps AS n";
                c.number(next, binds![]).await?.map_or(0, count)
            })
        })
        .await
    }

    /// Since when nobody holds the money lease by the database's clock; `None` while somebody does.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn money_lease_free_since(&self) -> Result<Option<Timestamp>> {
        self.run(move |db| async move {
            let mut pooled = db.read().await?;
            let c = &mut pooled.conn();
            let select = format!("SELECT expires_at AS n FROM leases WHERE name = $1 AND expires_at > {}", c.now_ms());
            if c.number(&select, binds![MONEY_LEASE]).await?.is_some() {
                return Ok(None);
            }
            let ended = c.number("SELECT expires_at AS n FROM leases WHERE name = $1", binds![MONEY_LEASE]).await?;
            Ok(Some(Timestamp::from_ms(ended.unwrap_or(0))))
        })
        .await
    }
}
