//! Texts and rows of the reads.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::Timestamp;

use super::{PayoutRow, PoolTotals, WorkerRow};
use crate::payouts::IntentState;
use crate::{Result, StoreError, column};

/// Running totals, sums of accounts, counts over indexes: no share and no verdict is looked at, so that nothing that
/// is cleaned up is missed.
pub(super) const TOTALS: &str = "\
    SELECT h.shares, h.rejects, h.last_share_at, h.verified, h.refuted, \
        (SELECT COUNT(*) FROM blocks WHERE state NOT IN ('candidate', 'lost', 'reversed') AND displaced_at IS NULL) \
            AS blocks, \
        (SELECT COUNT(*) FROM blocks WHERE state IN ('lost', 'reversed') OR displaced_at IS NOT NULL) AS orphaned, \
        (SELECT from_blocks FROM accounts WHERE key = 'pool_fee') AS fees, \
        (SELECT CAST(SUM(balance) AS BIGINT) FROM accounts WHERE kind = 'paid_out') AS paid, \
        b.miners AS unpaid_miners, b.balance AS unpaid, i.open AS payouts_open, i.gross AS payouts_open_amount, \
        COALESCE((SELECT MAX(sent_at) FROM intents), (SELECT MAX(last_sent_at) FROM payout_days)) AS last_payout_at \
    FROM (SELECT CAST(SUM(shares) AS BIGINT) AS shares, CAST(SUM(rejects) AS BIGINT) AS rejects, \
              CAST(SUM(verified) AS BIGINT) AS verified, CAST(SUM(refuted) AS BIGINT) AS refuted, \
              MAX(last_share_at) AS last_share_at FROM hosts) AS h, \
         (SELECT COUNT(*) AS open, CAST(SUM(gross) AS BIGINT) AS gross FROM intents \
          WHERE state IN ('reserved', 'unknown', 'broadcast', 'confirmed')) AS i, \
         (SELECT COUNT(*) AS miners, CAST(SUM(balance) AS BIGINT) AS balance FROM accounts \
          WHERE kind = 'payable' AND balance > 0) AS b";

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

/// Lines without a share hold 0.
fn share_time(at: Option<i64>) -> Option<Timestamp> {
    at.filter(|at| *at > 0).map(Timestamp::from_ms)
}

/// A worker may come from several places, and over several hosts.
pub(super) const SINCE: &str = "\
    SELECT w.first_minute, CAST(SUM(w.work) AS BIGINT) AS work \
    FROM (SELECT MIN(s.minute) AS first_minute, SUM(s.work) AS work \
          FROM segments s JOIN worker_identities l ON l.id = s.identity_id WHERE s.minute >= $1 GROUP BY l.miner_id, l.worker) AS w \
    GROUP BY w.first_minute ORDER BY w.first_minute";

#[derive(QueryableByName)]
pub(super) struct SinceRow {
    #[diesel(sql_type = BigInt)]
    pub(super) first_minute: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) work: i64,
}

/// When the first template of each of the newest heights was seen.
pub(super) const SEEN: &str = "\
    SELECT height, MIN(seen_at) AS at FROM templates GROUP BY height ORDER BY height DESC LIMIT 11";

#[derive(QueryableByName)]
pub(super) struct SeenRow {
    #[diesel(sql_type = BigInt)]
    pub(super) height: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) at: i64,
}

pub(super) const PAYOUTS: &str = "\
    SELECT i.id, i.state, i.txid, i.attention, i.recipients, COALESCE(i.sent_at, i.created_at) AS at, \
        COALESCE(i.fee_paid, i.fee_expected) AS fee, \
        (SELECT CAST(SUM(l.net) AS BIGINT) FROM intent_recipients l WHERE l.intent_id = i.id) AS net \
    FROM intents i WHERE i.state <> 'released' ORDER BY i.created_at DESC, i.id LIMIT $1 OFFSET $2";

/// Also of the text that was joined into this one.
pub(super) const PAYOUTS_OF: &str = "\
    SELECT i.id, i.state, i.txid, i.attention, CAST(1 AS BIGINT) AS recipients, \
        COALESCE(i.sent_at, i.created_at) AS at, l.gross - l.net AS fee, l.net AS net \
    FROM (SELECT id FROM miners WHERE address = $1 UNION ALL SELECT o.id FROM miners m \
          JOIN miners o ON o.joined_into = m.id WHERE m.address = $1) AS m \
    JOIN intent_recipients l ON l.miner_id = m.id JOIN intents i ON i.id = l.intent_id WHERE i.state <> 'released' ORDER BY i.created_at DESC, i.id LIMIT $2";

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

pub(super) const MINER: &str = "\
    SELECT m.id, m.gone_shares, m.gone_rejects, \
        (SELECT CAST(COALESCE(SUM(l.shares), 0) AS BIGINT) FROM worker_identities l WHERE l.miner_id = m.id) AS shares, \
        (SELECT MIN(f.at) FROM (SELECT m.gone_first_at AS at UNION ALL SELECT l.first_share_at FROM worker_identities l \
         WHERE l.miner_id = m.id AND l.shares > 0) AS f) AS first_share_at, \
        (SELECT COUNT(*) FROM accounts a WHERE a.miner_id = m.id) AS accounts \
    FROM miners m WHERE m.address = $1";

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

/// Recent work is a difference of running totals: the line's own less that of its last segment before the minute.
/// Where older segments are gone, less what was before the first one that is left.
pub(super) const WORKERS: &str = "\
    SELECT l.worker, CAST(SUM(l.shares) AS BIGINT) AS shares, CAST(SUM(l.rejects) AS BIGINT) AS rejects, \
        MAX(l.last_share_at) AS last_share_at, \
        CAST(SUM(l.work - COALESCE( \
            (SELECT s.total_work FROM segments s WHERE s.identity_id = l.id AND s.minute < $1 \
             ORDER BY s.start_seq DESC LIMIT 1), \
            (SELECT s.total_work - s.work FROM segments s WHERE s.identity_id = l.id ORDER BY s.start_seq LIMIT 1), \
            l.work)) AS BIGINT) AS recent_work, \
        MIN((SELECT MIN(s.minute) FROM segments s WHERE s.identity_id = l.id AND s.minute >= $1)) AS recent_since \
    FROM worker_identities l WHERE l.miner_id = $2 GROUP BY l.worker ORDER BY recent_work DESC, l.worker LIMIT $3";

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

#[derive(Default, QueryableByName)]
pub(super) struct RoundRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) work: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) before_work: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) before_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) first_at: Option<i64>,
}
