//! Books what the wallet has sent without these books.
use accounting::{Account, Entry};
use units::{Amount, Height, Timestamp};

use super::unknown::Named;
use super::{Intent, IntentState, conflict, rows};
use crate::db::{Conn, txn};
use crate::ledger::{Balances, MONEY_LEASE, entry_post_in_txn, lease_check_in_txn};
use crate::retention::SWEPT_HEIGHT;
use crate::sql::{Bind, binds, values};
use crate::{Result, Store};

impl Store {
    /// What of the share log and of the blocks below `height` the books do not have yet, although it was there at `at`:
    /// a sentence, or `None` when they have all of it. `credit_depth`: tip height minus block height of a credit.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn books_lack(&self, at: Timestamp, height: Height, credit_depth: u64) -> Result<Option<String>> {
        let due = height.get().saturating_sub(credit_depth);
        let due = i64::try_from(due).unwrap_or(i64::MAX);
        self.run(move |db| async move { lacking(&mut db.read().await?.conn(), at, due).await }).await
    }

    /// Books a send that an operator adopted: as a payout that is settled, with the entries that set its money aside and
    /// close it, in one transaction. `reserve` gets the balances of its recipients and of the pool's fees under
    /// lock.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` when it is not to be adopted any more, or its payout is in the books.
    ///
    /// # Panics
    /// When the payout is not as it must be: settled, without a request, recipients adding up to its gross.
    pub async fn payout_adopt<F>(
        &self,
        epoch: i64,
        intent: Intent,
        reserve: F,
        settle: Entry,
        at: Timestamp,
    ) -> Result<()>
    where
        F: FnOnce(&Balances) -> Entry + Send + 'static,
    {
        assert!(intent.state == IntentState::Settled && intent.attempts.is_empty(), "adopted payouts have no request");
        let gross = Amount::checked_sum(intent.lines.iter().map(|line| line.gross));
        assert!(gross == Some(intent.gross), "the recipients of payout {} add up to its gross", intent.id);
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let booked = "UPDATE unknown_sends SET booked_at = $1, waits_for = NULL \
                              WHERE txid = $2 AND decision = 'adopt' AND booked_at IS NULL";
                if c.run(booked, binds![at.ms(), intent.txid.map(|txid| txid.to_string())]).await? != 1 {
                    return Err(conflict(&intent.id));
                }
                // Other transactions of the same payout can never be mined beside this one.
                let others = "UPDATE unknown_sends SET booked_at = $1, waits_for = NULL WHERE memo = $2 \
                              AND decision = 'adopt' AND booked_at IS NULL";
                c.run(others, binds![at.ms(), intent.id.clone()]).await?;
                let reserve = reserve(&balances_lock(c, &intent).await?);
                for entry in [&reserve, &settle] {
                    if !entry_post_in_txn(c, epoch, entry, at).await? {
                        return Err(conflict(&intent.id));
                    }
                }
                rows::adopted_insert(c, &intent, at).await?;
                rows::lines_insert(c, &intent).await?;
            })
        })
        .await
    }
}

/// `due`: height of the highest block that had to be credited.
async fn lacking(c: &mut Conn<'_>, at: Timestamp, due: i64) -> Result<Option<String>> {
    let hosts = "SELECT name FROM hosts WHERE retired_at IS NULL AND caught_up_at < $1 ORDER BY name";
    let hosts: Vec<Named> = c.rows(hosts, binds![at.ms()]).await?;
    if !hosts.is_empty() {
        let names = hosts.into_iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        return Ok(Some(format!("the share log is not folded yet (hosts: {names})")));
    }
    let swept = "SELECT CAST(value AS BIGINT) AS n FROM meta WHERE key = $1";
    if c.number(swept, binds![SWEPT_HEIGHT]).await?.is_none_or(|swept| swept < due) {
        return Ok(Some(format!("the chain was not looked through for the pool's blocks up to height {due} yet")));
    }
    // A block that another one displaced has no credit to wait for.
    let blocks = "SELECT COUNT(*) AS n FROM blocks WHERE height <= $1 AND displaced_at IS NULL \
                  AND state IN ('candidate', 'submitted', 'seen', 'confirmed')";
    let blocks = c.number(blocks, binds![due]).await?.unwrap_or(0);
    Ok((blocks > 0).then(|| format!("{blocks} blocks are not credited yet; `meshpool hosts` shows what they wait for")))
}

async fn balances_lock(c: &mut Conn<'_>, intent: &Intent) -> Result<Balances> {
    let group = values(1, intent.lines.len());
    let select = format!(
        "SELECT key, balance FROM accounts WHERE key IN {group} OR key = 'pool_fee' ORDER BY id{}",
        c.for_update()
    );
    let keys = intent.lines.iter().map(|line| Bind::from(Account::payable(&line.address).to_string()));
    Balances::load(c, &select, keys.collect()).await
}
