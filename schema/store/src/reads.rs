//! What the API shows. Reads aggregates only; no list costs more than its page.
mod rows;

use chain::TxId;
use std::time::Duration;

use diesel::dsl::min;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, SelectableHelper,
};
use diesel_async::RunQueryDsl;
use units::{Amount, Minute, Timestamp, Work};

use crate::blocks::{Block, BlockRow, BlockState, RoundRow, blocks_with_finders, read_blocks};
use crate::db::{on, q, snapshot};
use crate::payouts::IntentState;
use crate::schema::{blocks, intents, miners, templates, worker_identities};
use crate::sql::{binds, statement};
use crate::{Result, Store, column};

/// Sums over the whole history.
#[derive(Debug, Clone, Default)]
pub struct PoolTotals {
    /// Accepted shares.
    pub shares: u64,
    /// Rejected submits.
    pub rejects: u64,
    /// Shares with verdict `verified` / `rejected` or `voided`.
    pub verified: u64,
    /// See `verified`.
    pub refuted: u64,
    /// Blocks that are, or were when last looked at, on the chain.
    pub blocks: u64,
    /// Blocks that another one stands in place of.
    pub orphaned: u64,
    /// Collected pool fees (credited).
    pub fees: Amount,
    /// Sent by settled payouts.
    pub paid: Amount,
    /// Miners with a balance that no payout has taken yet.
    pub unpaid_miners: u64,
    /// The sum of those balances.
    pub unpaid: Amount,
    /// Open payouts.
    pub payouts_open: u64,
    /// Their gross.
    pub payouts_open_amount: Amount,
    /// When the newest payout was sent.
    pub last_payout_at: Option<Timestamp>,
    /// When the newest share was received.
    pub last_share_at: Option<Timestamp>,
}

/// Work of the pool since the newest block in the log.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// When it began; the first share's time when there is no block yet, and nothing before the first share.
    pub started_at: Option<Timestamp>,
    /// Accepted work.
    pub work: Work,
}

/// Filter and page of a block list.
#[derive(Debug, Clone, Default)]
pub struct BlockPage {
    /// Only these states; empty for all.
    pub states: Vec<BlockState>,
    /// Only those that another block stands in place of, or only the others.
    pub orphaned: Option<bool>,
    /// Only those found by this address.
    pub finder: Option<String>,
    /// Rows to skip.
    pub offset: u64,
    /// Rows to return.
    pub limit: u64,
}

/// One row of a payout list: one transaction.
#[derive(Debug, Clone)]
pub struct PayoutRow {
    /// Intent.
    pub intent: String,
    /// State.
    pub state: IntentState,
    /// Sum of what recipients get.
    pub net: Amount,
    /// Network fee (expected until the wallet named it).
    pub fee: Amount,
    /// How many recipients.
    pub recipients: u64,
    /// The transaction.
    pub txid: Option<TxId>,
    /// When it was sent, or planned.
    pub at: Timestamp,
    /// Why an operator must look.
    pub attention: Option<String>,
}

/// A worker of a miner.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    /// Name.
    pub worker: String,
    /// Accepted shares, all time.
    pub shares: u64,
    /// Rejected submits, all time.
    pub rejects: u64,
    /// Work since the asked minute, and the minute of the first of it.
    pub recent_work: Work,
    /// See `recent_work`; empty when there is none.
    pub recent_since: Option<Minute>,
    /// Newest share.
    pub last_share_at: Option<Timestamp>,
}

/// A miner's own numbers.
#[derive(Debug, Clone)]
pub struct MinerSummary {
    /// First share.
    pub first_share_at: Option<Timestamp>,
    /// Accepted shares and rejected submits of workers that were forgotten, since they did nothing for so long.
    pub gone_shares: u64,
    /// See `gone_shares`.
    pub gone_rejects: u64,
    /// Workers, by recent work, then name.
    pub workers: Vec<WorkerRow>,
}

/// Workers that a miner's page shows at most.
const WORKERS_MAX: i64 = 1_000;

/// Blocks from whose first templates the pace of the network is read.
const PACE_BLOCKS: i64 = 11;

// A query of blocks may join these tables itself.
diesel::alias! {
    const FOUND_BY: Alias<FoundBy> = worker_identities as found_by;
    const FINDERS: Alias<Finders> = miners as finders;
}

/// Those blocks of a query that the page asks for: written out for what is asked, so that an index can serve it.
macro_rules! wanted {
    ($page:expr, $query:expr) => {{
        let mut query = $query.into_boxed();
        if let Some(finder) = &$page.finder {
            let is_identity = FINDERS.field(miners::id).eq(FOUND_BY.field(worker_identities::miner_id));
            let identities = FOUND_BY
                .inner_join(FINDERS.on(is_identity))
                .filter(FINDERS.field(miners::address).eq(finder.clone()))
                .select(FOUND_BY.field(worker_identities::id).nullable());
            query = query.filter(blocks::identity_id.eq_any(identities));
        }
        let off_chain = [BlockState::Lost.as_str(), BlockState::Reversed.as_str()];
        query = match $page.orphaned {
            Some(true) => query.filter(blocks::state.eq_any(off_chain).or(blocks::displaced_at.is_not_null())),
            Some(false) => query.filter(blocks::state.ne_all(off_chain).and(blocks::displaced_at.is_null())),
            None => query,
        };
        if !$page.states.is_empty() {
            let states: Vec<&'static str> = $page.states.iter().map(|state| state.as_str()).collect();
            query = query.filter(blocks::state.eq_any(states));
        }
        query
    }};
}

// === impl Store ===

impl Store {
    /// Totals.
    ///
    /// # Errors
    /// `Damaged` for negative sums.
    pub async fn pool_totals(&self) -> Result<PoolTotals> {
        let rows: Vec<rows::TotalsRow> = self.load_file(statement!("reads/totals.sql"), binds![]).await?;
        rows.into_iter().next().map_or_else(|| Ok(PoolTotals::default()), PoolTotals::try_from)
    }

    /// Accepted work since `minute`, of all workers whose first share since then was booked to the same minute together:
    /// that minute and the sum.
    ///
    /// # Errors
    /// `Damaged` for a negative sum.
    pub async fn work_since(&self, minute: Minute) -> Result<Vec<(Minute, Work)>> {
        let rows: Vec<rows::SinceRow> =
            self.load_file(statement!("reads/work_since.sql"), binds![i64::from(minute.0)]).await?;
        let parts = rows
            .into_iter()
            .map(|row| Ok((column::minute(row.first_minute, "segment")?, column::work(row.work, "segments' work")?)));
        parts.collect()
    }

    /// Miners and workers with accepted work since `minute`.
    ///
    /// # Errors
    /// [`crate::StoreError`].
    pub async fn active_count(&self, minute: Minute) -> Result<(u64, u64)> {
        let found: Vec<rows::ActiveRow> =
            self.load_file(statement!("reads/active.sql"), binds![i64::from(minute.0)]).await?;
        let Some(row) = found.into_iter().next() else { return Ok((0, 0)) };
        Ok((column::count(row.miners, "count of miners")?, column::count(row.workers, "count of workers")?))
    }

    /// Mean time between blocks of the network over the last ten or so that were mined on here; `None` before the
    /// second. Time in which nobody mined here counts with the blocks that came in it.
    ///
    /// # Errors
    /// [`crate::StoreError`].
    pub async fn block_pace(&self) -> Result<Option<Duration>> {
        let newest = templates::table
            .group_by(templates::height)
            .select((templates::height, min(templates::seen_at)))
            .order(templates::height.desc())
            .limit(PACE_BLOCKS);
        let seen: Vec<(i64, Option<i64>)> =
            self.run(|db| async move { Ok(q!(db, read, c => newest.load(c).await)?) }).await?;
        let (&[(to_height, Some(to)), ..], &[.., (from_height, Some(from))]) = (&*seen, &*seen) else {
            return Ok(None);
        };
        let blocks = u32::try_from(to_height.saturating_sub(from_height)).unwrap_or(u32::MAX);
        let took = Timestamp::from_ms(to).since(Timestamp::from_ms(from));
        Ok(took.checked_div(blocks).filter(|pace| !pace.is_zero()))
    }

    /// The running round: what the pool has done since the newest block of the log.
    ///
    /// # Errors
    /// `Damaged` for a negative sum.
    pub async fn round(&self) -> Result<Round> {
        let found: Vec<RoundRow> = self.load_file(statement!("blocks/round.sql"), binds![]).await?;
        let row = found.into_iter().next().ok_or(diesel::result::Error::NotFound)?;
        let work = row.pool_work.unwrap_or(0).saturating_sub(row.before_work.unwrap_or(0));
        let started_at = row.before_at.or(row.first_share_at).filter(|at| *at > 0).map(Timestamp::from_ms);
        Ok(Round { started_at, work: column::work(work, "work of the round")? })
    }

    /// A page of blocks, newest height first, and how many there are.
    ///
    /// # Errors
    /// `Damaged` for a row that is not a block.
    pub async fn block_list(&self, page: BlockPage) -> Result<(Vec<Block>, u64)> {
        let (limit, offset) = (paged(page.limit), paged(page.offset));
        self.run(move |db| async move {
            snapshot!(db, conn => {
                let found: Vec<BlockRow> = on!(conn, c => {
                    let newest_first = (blocks::height.desc(), blocks::id.desc());
                    let found = wanted!(page, blocks_with_finders().select(BlockRow::as_select()));
                    found.order(newest_first).limit(limit).offset(offset).load(c).await
                })?;
                let total: i64 = on!(conn, c => wanted!(page, blocks::table.count()).get_result(c).await)?;
                (read_blocks(found)?, column::count(total, "count of blocks")?)
            })
        })
        .await
    }

    /// A page of payouts, newest first, and how many there are.
    ///
    /// # Errors
    /// `Damaged` for a row that is not a payout.
    pub async fn payout_list(&self, offset: u64, limit: u64) -> Result<(Vec<PayoutRow>, u64)> {
        let (limit, offset) = (paged(limit), paged(offset));
        self.run(move |db| async move {
            snapshot!(db, conn => {
                let text = statement!("reads/payouts.sql");
                let page: Vec<rows::PayoutLine> = conn.load_file(text, binds![limit, offset]).await?;
                let all = intents::table.filter(intents::state.ne(IntentState::Released.as_str())).count();
                let count: i64 = on!(conn, c => all.get_result(c).await)?;
                let page = page.into_iter().map(PayoutRow::try_from).collect::<Result<Vec<_>>>()?;
                (page, column::count(count, "count of payouts")?)
            })
        })
        .await
    }

    /// A miner's payouts, newest first: intent row with `net` and `fee` being its own part, `recipients` 1.
    ///
    /// # Errors
    /// `Damaged` for a row that is not a payout.
    pub async fn payout_list_of(&self, address: &str, limit: u64) -> Result<Vec<PayoutRow>> {
        let text = statement!("reads/payouts_of.sql");
        let page: Vec<rows::PayoutLine> = self.load_file(text, binds![address, paged(limit)]).await?;
        page.into_iter().map(PayoutRow::try_from).collect()
    }

    /// A miner; `None` if the address never had a share or a credit.
    ///
    /// # Errors
    /// `Damaged` for negative counters.
    pub async fn miner_summary(&self, address: &str, recent_since: Minute) -> Result<Option<MinerSummary>> {
        let address = address.to_owned();
        self.run(move |db| async move {
            snapshot!(db, c => {
                let known: Option<rows::MinerRow> =
                    c.load_file(statement!("reads/miner.sql"), binds![address]).await?.pop();
                match known {
                    Some(miner) if miner.shares + miner.gone_shares > 0 || miner.accounts > 0 => {
                        let binds = binds![i64::from(recent_since.0), miner.id, WORKERS_MAX];
                        let workers: Vec<rows::WorkerLine> =
                            c.load_file(statement!("reads/workers.sql"), binds).await?;
                        let workers = workers.into_iter().map(WorkerRow::try_from).collect::<Result<Vec<_>>>()?;
                        Some(MinerSummary {
                            first_share_at: miner.first_share_at.map(Timestamp::from_ms),
                            gone_shares: column::count(miner.gone_shares, "shares of workers that are gone")?,
                            gone_rejects: column::count(miner.gone_rejects, "rejects of workers that are gone")?,
                            workers,
                        })
                    }
                    _ => None,
                }
            })
        })
        .await
    }
}

/// A page's edge; nothing has more rows than a column can count.
fn paged(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
