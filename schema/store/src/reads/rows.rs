//! Rows of the reads.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::Timestamp;

use super::{PayoutRow, PoolTotals, WorkerRow};
use crate::payouts::IntentState;
use crate::{Result, StoreError, column};

#[derive(QueryableByName)]
pub(super) struct TotalsRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    shares: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    rejects: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_share_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    verified: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    refuted: Option<i64>,
    #[diesel(sql_type = BigInt)]
    blocks: i64,
    #[diesel(sql_type = BigInt)]
    orphaned: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    fees: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    paid: Option<i64>,
    #[diesel(sql_type = BigInt)]
    unpaid_miners: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    unpaid: Option<i64>,
    #[diesel(sql_type = BigInt)]
    payouts_open: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    payouts_open_amount: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_payout_at: Option<i64>,
}

impl TryFrom<TotalsRow> for PoolTotals {
    type Error = StoreError;
    fn try_from(row: TotalsRow) -> Result<PoolTotals> {
        let count = |count: Option<i64>, what| column::count(count.unwrap_or(0), what);
        let amount = |atoms: Option<i64>, what| column::amount(atoms.unwrap_or(0), what);
        Ok(PoolTotals {
            shares: count(row.shares, "count of shares")?,
            rejects: count(row.rejects, "count of rejects")?,
            verified: count(row.verified, "count of verdicts")?,
            refuted: count(row.refuted, "count of verdicts")?,
            blocks: count(Some(row.blocks), "count of blocks")?,
            orphaned: count(Some(row.orphaned), "count of blocks")?,
            fees: amount(row.fees, "sum of pool fees")?,
            paid: amount(row.paid, "sum of payments")?,
            unpaid_miners: count(Some(row.unpaid_miners), "count of balances")?,
            unpaid: amount(row.unpaid, "sum of balances")?,
            payouts_open: count(Some(row.payouts_open), "count of payouts")?,
            payouts_open_amount: amount(row.payouts_open_amount, "sum of payouts")?,
            last_payout_at: row.last_payout_at.map(Timestamp::from_ms),
            last_share_at: share_time(row.last_share_at),
        })
    }
}

/// Identities without a share hold 0.
fn share_time(at: Option<i64>) -> Option<Timestamp> {
    at.filter(|at| *at > 0).map(Timestamp::from_ms)
}

#[derive(QueryableByName)]
pub(super) struct SinceRow {
    #[diesel(sql_type = BigInt)]
    pub(super) first_minute: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) work: i64,
}

#[derive(QueryableByName)]
pub(super) struct PayoutLine {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    txid: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    attention: Option<String>,
    #[diesel(sql_type = BigInt)]
    recipients: i64,
    #[diesel(sql_type = BigInt)]
    at: i64,
    #[diesel(sql_type = BigInt)]
    fee: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    net: Option<i64>,
}

impl TryFrom<PayoutLine> for PayoutRow {
    type Error = StoreError;
    fn try_from(row: PayoutLine) -> Result<PayoutRow> {
        let what = format!("payout {}", row.id);
        let state = IntentState::parse(&row.state);
        Ok(PayoutRow {
            state: state
                .ok_or_else(|| StoreError::Damaged { what: what.clone(), why: format!("state {}", row.state) })?,
            net: column::amount(row.net.unwrap_or(0), &what)?,
            fee: column::amount(row.fee, &what)?,
            recipients: column::count(row.recipients, &what)?,
            txid: row.txid.map(|txid| column::txid(&txid, &what)).transpose()?,
            at: Timestamp::from_ms(row.at),
            attention: row.attention,
            intent: row.id,
        })
    }
}

#[derive(QueryableByName)]
pub(super) struct MinerRow {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) shares: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) gone_shares: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) gone_rejects: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) first_share_at: Option<i64>,
    #[diesel(sql_type = BigInt)]
    pub(super) accounts: i64,
}

#[derive(QueryableByName)]
pub(super) struct WorkerLine {
    #[diesel(sql_type = Text)]
    worker: String,
    #[diesel(sql_type = BigInt)]
    shares: i64,
    #[diesel(sql_type = BigInt)]
    rejects: i64,
    #[diesel(sql_type = BigInt)]
    recent_work: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    recent_since: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_share_at: Option<i64>,
}

impl TryFrom<WorkerLine> for WorkerRow {
    type Error = StoreError;
    fn try_from(row: WorkerLine) -> Result<WorkerRow> {
        let what = format!("worker {}", row.worker);
        Ok(WorkerRow {
            shares: column::count(row.shares, &what)?,
            rejects: column::count(row.rejects, &what)?,
            recent_work: column::work(row.recent_work, &what)?,
            recent_since: row.recent_since.map(|minute| column::minute(minute, &what)).transpose()?,
            last_share_at: share_time(row.last_share_at),
            worker: row.worker,
        })
    }
}

#[derive(QueryableByName)]
pub(super) struct ActiveRow {
    #[diesel(sql_type = BigInt)]
    pub(super) miners: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) workers: i64,
}
