//! Summaries by day, per miner and of the whole pool. They stay for ever; a miner's only as long as the miner.
use std::collections::BTreeMap;

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use units::{Amount, Work};

use super::{DAY, json, too_large};
use crate::db::{Conn, on, q};
use crate::schema::{miners, payout_days, reject_days, share_days};
use crate::sql::{binds, statement};
use crate::{Result, Store, column};

/// The whole pool's place among the miners.
const POOL: i64 = 0;

/// What was mined on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareDay {
    /// Days since the epoch, UTC.
    pub day: u32,
    /// Accepted shares.
    pub shares: u64,
    /// Their work.
    pub work: Work,
    /// Shares that were recomputed and true.
    pub verified: u64,
    /// Their work.
    pub verified_work: Work,
    /// Shares that were refuted or voided.
    pub refuted: u64,
    /// Their work.
    pub refuted_work: Work,
}

/// What was refused on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectDay {
    /// Days since the epoch, UTC.
    pub day: u32,
    /// Canonical reason.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// What was paid on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutDay {
    /// Days since the epoch, UTC.
    pub day: u32,
    /// Settled payouts.
    pub payouts: u64,
    /// Their recipients, one counted as often as it was paid.
    pub recipients: u64,
    /// What left the balances.
    pub gross: Amount,
    /// What recipients got.
    pub net: Amount,
    /// What the network got.
    pub fee: Amount,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = share_days)]
struct ShareRow {
    day: i64,
    shares: i64,
    work: i64,
    verified: i64,
    verified_work: i64,
    refuted: i64,
    refuted_work: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = reject_days)]
struct RejectRow {
    day: i64,
    reason: String,
    count: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = payout_days)]
struct PayoutRow {
    day: i64,
    payouts: i64,
    recipients: i64,
    gross: i64,
    net: i64,
    fee: i64,
}

impl Store {
    /// Summaries of shares by day, oldest first: of a miner, or of the pool. Only of days that were cleaned up.
    ///
    /// # Errors
    /// `Damaged` for negative sums.
    pub async fn share_days(&self, address: Option<&str>) -> Result<Vec<ShareDay>> {
        let address = address.map(str::to_owned);
        let rows: Vec<ShareRow> = self
            .run(|db| async move {
                let mut pooled = db.read().await?;
                let conn = &mut pooled.conn();
                let Some(miner) = place_of(conn, address).await? else { return Ok(Vec::new()) };
                let days = share_days::table.filter(share_days::miner_id.eq(miner)).order(share_days::day);
                Ok(on!(conn, c => days.select(ShareRow::as_select()).load(c).await)?)
            })
            .await?;
        let day = |row: ShareRow| {
            Ok(ShareDay {
                day: column::minute(row.day, "day")?.0,
                shares: column::count(row.shares, "shares of a day")?,
                work: column::work(row.work, "work of a day")?,
                verified: column::count(row.verified, "verdicts of a day")?,
                verified_work: column::work(row.verified_work, "verdicts of a day")?,
                refuted: column::count(row.refuted, "verdicts of a day")?,
                refuted_work: column::work(row.refuted_work, "verdicts of a day")?,
            })
        };
        rows.into_iter().map(day).collect()
    }

    /// Summaries of rejects by day and reason, oldest first: of a miner, or of the pool.
    ///
    /// # Errors
    /// `Damaged` for negative sums.
    pub async fn reject_days(&self, address: Option<&str>) -> Result<Vec<RejectDay>> {
        let address = address.map(str::to_owned);
        let rows: Vec<RejectRow> = self
            .run(|db| async move {
                let mut pooled = db.read().await?;
                let conn = &mut pooled.conn();
                let Some(miner) = place_of(conn, address).await? else { return Ok(Vec::new()) };
                let days = reject_days::table
                    .filter(reject_days::miner_id.eq(miner))
                    .order((reject_days::day, reject_days::reason));
                Ok(on!(conn, c => days.select(RejectRow::as_select()).load(c).await)?)
            })
            .await?;
        let day = |row: RejectRow| {
            let count = column::count(row.count, "rejects of a day")?;
            Ok(RejectDay { day: column::minute(row.day, "day")?.0, reason: row.reason, count })
        };
        rows.into_iter().map(day).collect()
    }

    /// Summaries of payouts by day, oldest first.
    ///
    /// # Errors
    /// `Damaged` for negative sums.
    pub async fn payout_days(&self) -> Result<Vec<PayoutDay>> {
        let rows: Vec<PayoutRow> = self
            .run(|db| async move {
                let days = payout_days::table.order(payout_days::day);
                Ok(q!(db, read, c => days.select(PayoutRow::as_select()).load(c).await)?)
            })
            .await?;
        let day = |row: PayoutRow| {
            Ok(PayoutDay {
                day: column::minute(row.day, "day")?.0,
                payouts: column::count(row.payouts, "payouts of a day")?,
                recipients: column::count(row.recipients, "payouts of a day")?,
                gross: column::amount(row.gross, "payouts of a day")?,
                net: column::amount(row.net, "payouts of a day")?,
                fee: column::amount(row.fee, "payouts of a day")?,
            })
        };
        rows.into_iter().map(day).collect()
    }
}

/// Whose summaries are those of an address, or of the pool for none; `None` for an unknown address.
async fn place_of(conn: &mut Conn<'_>, address: Option<String>) -> Result<Option<i64>> {
    let Some(address) = address else { return Ok(Some(POOL)) };
    let miner = miners::table.filter(miners::address.eq(address)).select(miners::id);
    Ok(on!(conn, c => miner.first(c).await.optional())?)
}

// === within the caller's transaction ===

/// shares, work, verified, verified work, refuted, refuted work
type Sums = [i64; 6];

/// Adds accepted work (miner, minute, shares, work).
pub(super) async fn work_add(c: &mut Conn<'_>, rows: impl Iterator<Item = (i64, i64, i64, i64)>) -> Result<()> {
    sums_add(c, rows.map(|(miner, minute, shares, work)| (miner, minute, [shares, work, 0, 0, 0, 0]))).await
}

/// Adds verdicts (miner, minute, whether it is a good one, work).
pub(super) async fn verdicts_add(c: &mut Conn<'_>, rows: impl Iterator<Item = (i64, i64, bool, i64)>) -> Result<()> {
    let sums = |good: bool, work| if good { [0, 0, 1, work, 0, 0] } else { [0, 0, 0, 0, 1, work] };
    sums_add(c, rows.map(|(miner, minute, good, work)| (miner, minute, sums(good, work)))).await
}

async fn sums_add(c: &mut Conn<'_>, rows: impl Iterator<Item = (i64, i64, Sums)>) -> Result<()> {
    let mut days: BTreeMap<(i64, i64), Sums> = BTreeMap::new();
    for (miner, minute, sums) in rows {
        for miner in [miner, POOL] {
            let day = days.entry((miner, minute / i64::from(DAY))).or_default();
            for (sum, more) in day.iter_mut().zip(sums) {
                *sum = sum.checked_add(more).ok_or_else(|| too_large("a day's work"))?;
            }
        }
    }
    if days.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> =
        days.into_iter().map(|((miner, day), s)| (miner, day, s[0], s[1], s[2], s[3], s[4], s[5])).collect();
    c.run_file(statement!("days/shares_add.sql"), binds![json(&rows)]).await?;
    Ok(())
}

/// Adds rejects (miner, minute, reason, count).
pub(super) async fn rejects_add(c: &mut Conn<'_>, rows: impl Iterator<Item = (i64, i64, String, i64)>) -> Result<()> {
    let mut days: BTreeMap<(i64, i64, String), i64> = BTreeMap::new();
    for (miner, minute, reason, count) in rows {
        for miner in [miner, POOL] {
            let day = days.entry((miner, minute / i64::from(DAY), reason.clone())).or_default();
            *day = day.checked_add(count).ok_or_else(|| too_large("a day's rejects"))?;
        }
    }
    if days.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = days.into_iter().map(|((miner, day, reason), count)| (miner, day, reason, count)).collect();
    c.run_file(statement!("days/rejects_add.sql"), binds![json(&rows)]).await?;
    Ok(())
}
