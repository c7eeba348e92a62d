//! Books what the wallet has sent without these books.
use accounting::{Account, Entry};
use diesel::{ExpressionMethods, NullableExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use units::{Amount, Height, Timestamp};

use super::{Intent, IntentState, conflict, rows};
use crate::db::{Conn, locked, on, txn};
use crate::ledger::{Balances, MONEY_LEASE, entry_post_in_txn, lease_check_in_txn};
use crate::retention::SWEPT_HEIGHT;
use crate::schema::{accounts, blocks, hosts, meta, unknown_sends};
use crate::{Result, Store, StoreError};

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
                let adopted = unknown_sends::table
                    .filter(unknown_sends::decision.eq("adopt"))
                    .filter(unknown_sends::booked_at.is_null());
                let booked = || (unknown_sends::booked_at.eq(at.ms()), unknown_sends::waits_for.eq(None::<String>));
                let txid = intent.txid.map(|txid| txid.to_string());
                let this = diesel::update(adopted.filter(unknown_sends::txid.nullable().eq(txid))).set(booked());
                if on!(c, c => this.execute(c).await)? != 1 {
                    return Err(conflict(&intent.id));
                }
                // Other transactions of the same payout can never be mined beside this one.
                let others = diesel::update(adopted.filter(unknown_sends::memo.eq(&intent.id))).set(booked());
                on!(c, c => others.execute(c).await)?;
                let reserve = reserve(&balances_lock(c, &intent).await?);
                for entry in [&reserve, &settle] {
                    if !entry_post_in_txn(c, epoch, entry, at).await? {
                        return Err(conflict(&intent.id));
                    }
                }
                rows::adopted_insert(c, &intent, at).await?;
                rows::recipients_insert(c, &intent).await?;
            })
        })
        .await
    }
}

/// `due`: height of the highest block that had to be credited.
async fn lacking(c: &mut Conn<'_>, at: Timestamp, due: i64) -> Result<Option<String>> {
    let behind = hosts::table
        .filter(hosts::retired_at.is_null())
        .filter(hosts::caught_up_at.lt(at.ms()))
        .order(hosts::name)
        .select(hosts::name);
    let names: Vec<String> = on!(c, c => behind.load(c).await)?;
    if !names.is_empty() {
        return Ok(Some(format!("the share log is not folded yet (hosts: {})", names.join(", "))));
    }
    let swept = meta::table.find(SWEPT_HEIGHT).select(meta::value);
    let swept: Option<String> = on!(c, c => swept.first(c).await.optional())?;
    let swept = swept.map(|text| {
        let damaged =
            |error| StoreError::Damaged { what: format!("meta {SWEPT_HEIGHT}"), why: format!("{text}: {error}") };
        text.parse::<i64>().map_err(damaged)
    });
    if swept.transpose()?.is_none_or(|swept| swept < due) {
        return Ok(Some(format!("the chain was not looked through for the pool's blocks up to height {due} yet")));
    }
    // A block that another one displaced has no credit to wait for.
    let open = blocks::table
        .filter(blocks::height.le(due))
        .filter(blocks::displaced_at.is_null())
        .filter(blocks::state.eq_any(["candidate", "submitted", "seen", "confirmed"]))
        .count();
    let blocks: i64 = on!(c, c => open.get_result(c).await)?;
    Ok((blocks > 0).then(|| format!("{blocks} blocks are not credited yet; `meshpool hosts` shows what they wait for")))
}

/// Of the recipients and of the pool's fees.
async fn balances_lock(c: &mut Conn<'_>, intent: &Intent) -> Result<Balances> {
    let mut keys: Vec<String> = intent.lines.iter().map(|line| Account::payable(&line.address).to_string()).collect();
    keys.push(Account::PoolFee.to_string());
    let held = accounts::table
        .filter(accounts::key.eq_any(keys))
        .order(accounts::id)
        .select((accounts::key, accounts::balance));
    let held: Vec<(String, i64)> = locked!(c, held, load)?;
    Balances::of_rows(held)
}
