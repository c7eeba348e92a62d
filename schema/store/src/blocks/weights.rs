//! The heart of the money: how much work each miner has in a block's window.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use units::{BlockRowId, HostId, MinerId, Seq, Timestamp, Work};

use super::{BlockWeight, WindowWork};
use crate::db::Conn;
use crate::ledger::Balances;
use crate::sql::binds;
use crate::{Result, StoreError, column};

/// Accepted work in the window, per miner. `f` is a line's first segment in it and `e` its last: the window ends
/// where segments of its host end, so a segment that begins before the end also ends before it. Totals include their
/// own segment, hence `+ f.work`.
const ACCEPTED: &str = "SELECT m.id AS miner, m.address, \
    CAST(SUM(e.total_work - f.total_work + f.work) AS BIGINT) AS accepted \
    FROM block_windows w JOIN worker_identities l ON l.host_id = w.host_id JOIN miners m ON m.id = l.miner_id \
    JOIN segments f ON f.identity_id = l.id AND f.start_seq = (SELECT x.start_seq FROM segments x \
        WHERE x.identity_id = l.id AND x.minute >= $1 ORDER BY x.minute, x.start_seq LIMIT 1) \
    JOIN segments e ON e.identity_id = l.id AND e.start_seq = (SELECT MAX(y.start_seq) FROM segments y \
        WHERE y.identity_id = l.id AND y.start_seq <= w.end_seq) \
    WHERE w.block_id = $2 AND f.start_seq <= w.end_seq GROUP BY m.id, m.address ORDER BY m.address";

/// Judged work in the window, per miner.
const JUDGED: &str = "SELECT l.miner_id AS miner, \
    CAST(SUM(CASE WHEN v.verdict = 'verified' THEN v.difficulty ELSE 0 END) AS BIGINT) AS verified, \
    CAST(SUM(CASE WHEN v.verdict = 'verified' THEN 0 ELSE v.difficulty END) AS BIGINT) AS taken \
    FROM block_windows w JOIN verdicts v ON v.host_id = w.host_id AND v.minute >= $1 AND v.share_seq <= w.end_seq \
    JOIN worker_identities l ON l.id = v.identity_id WHERE w.block_id = $2 GROUP BY l.miner_id";

#[derive(QueryableByName)]
struct AcceptedRow {
    #[diesel(sql_type = BigInt)]
    miner: i64,
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = BigInt)]
    accepted: i64,
}

#[derive(QueryableByName)]
struct FoldedRow {
    #[diesel(sql_type = BigInt)]
    host_id: i64,
    #[diesel(sql_type = BigInt)]
    folded_seq: i64,
}

#[derive(QueryableByName)]
struct JudgedRow {
    #[diesel(sql_type = BigInt)]
    miner: i64,
    #[diesel(sql_type = BigInt)]
    verified: i64,
    #[diesel(sql_type = BigInt)]
    taken: i64,
}

/// See [`crate::Store::block_window_work`]. The caller's transaction must show one moment: a verdict may replace
/// another, and the folded position says which were seen.
pub(crate) async fn window_work(c: &mut Conn<'_>, block: BlockRowId) -> Result<(Vec<WindowWork>, Vec<(HostId, Seq)>)> {
    let start = c.number("SELECT window_start AS n FROM blocks WHERE id = $1", binds![block.0]).await?;
    let start = start.ok_or_else(|| StoreError::Conflict { what: format!("block row {block}") })?;
    let minute = i64::from(Timestamp::from_ms(start).minute().0);
    let folded = "SELECT h.id AS host_id, h.folded_seq FROM block_windows w JOIN hosts h ON h.id = w.host_id \
                  WHERE w.block_id = $1 ORDER BY h.id";
    let folded: Vec<FoldedRow> = c.rows(folded, binds![block.0]).await?;
    let folded = folded.into_iter().map(|row| (HostId(row.host_id), Seq::from_i64(row.folded_seq))).collect();
    let accepted: Vec<AcceptedRow> = c.rows(ACCEPTED, binds![minute, block.0]).await?;
    let judged: Vec<JudgedRow> = c.rows(JUDGED, binds![minute, block.0]).await?;
    let mut judged: std::collections::HashMap<i64, JudgedRow> =
        judged.into_iter().map(|row| (row.miner, row)).collect();
    let works = accepted.into_iter().map(|row| {
        let judged = judged.remove(&row.miner);
        row.less(judged, block)
    });
    let works = works.collect::<Result<Vec<WindowWork>>>()?;
    match judged.into_keys().next() {
        Some(miner) => Err(damaged(block, &format!("miner {miner} has verdicts in it and no shares"))),
        None => Ok((works, folded)),
    }
}

impl AcceptedRow {
    fn less(self, judged: Option<JudgedRow>, block: BlockRowId) -> Result<WindowWork> {
        let (verified, taken) = judged.map_or((0, 0), |row| (row.verified, row.taken));
        let provisional = self.accepted.checked_sub(verified).and_then(|rest| rest.checked_sub(taken));
        let provisional = provisional
            .and_then(Work::from_i64)
            .ok_or_else(|| damaged(block, &format!("verdicts on {} are worth more than its shares", self.address)))?;
        Ok(WindowWork {
            miner: MinerId(self.miner),
            verified: column::work(verified, "verdict")?,
            provisional,
            address: self.address,
        })
    }
}

fn damaged(block: BlockRowId, why: &str) -> StoreError {
    StoreError::Damaged { what: format!("window of block row {block}"), why: why.to_owned() }
}

/// Inserts the rows of `block_weights`.
pub(super) async fn insert(c: &mut Conn<'_>, block: BlockRowId, weights: &[BlockWeight]) -> Result<()> {
    let insert = format!(
        "INSERT INTO block_weights (block_id, miner_id, verified, provisional, weight, credit) \
         SELECT {block}, CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
         CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT) FROM {}",
        c.json_rows(),
    );
    let rows: Vec<_> = weights
        .iter()
        .map(|row| (row.miner, row.verified.get(), row.provisional.get(), row.weight, row.credit.atoms()))
        .collect();
    let rows = serde_json::to_string(&rows).expect("numbers are always JSON");
    c.run(&insert, binds![rows]).await?;
    Ok(())
}

/// The balances of all accounts of a credit entry and of the pool's fees, locked until the transaction ends. An account of
/// a miner that was joined into another one is that one's.
pub(super) async fn balances_lock(c: &mut Conn<'_>, credited: &str) -> Result<Balances> {
    let select = format!(
        "SELECT key, balance FROM accounts WHERE key = 'pool_fee' OR id IN \
         (SELECT COALESCE(j.id, a.id) FROM entries e JOIN postings p ON p.entry_id = e.id \
          JOIN accounts a ON a.id = p.account_id LEFT JOIN miners m ON m.id = a.miner_id \
          LEFT JOIN accounts j ON j.miner_id = m.joined_into AND j.kind = a.kind \
          WHERE e.kind = 'block_credited' AND e.reference = $1) ORDER BY id{}",
        c.for_update(),
    );
    Balances::load(c, &select, binds![credited]).await
}
