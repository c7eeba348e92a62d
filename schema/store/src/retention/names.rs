//! Lines and miners: names that anybody can invent, so those that did nothing for long are forgotten.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable};
use units::{LineId, MinerId, Minute, Timestamp};

use super::details::{REJECTS, Reject, rejects_move};
use super::{Id, Mark, json, mark_in_txn, step_begin};
use crate::db::{Conn, txn};
use crate::sql::binds;
use crate::{Result, Store};

/// What one step over names did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrunedNames<Id> {
    /// The last one looked at; `None` when none was left.
    pub last: Option<Id>,
    /// How many were forgotten.
    pub removed: u64,
}

impl Store {
    /// Of the next `lines` lines after `after`, forgets those without a reject since `idle` that never had a share, or
    /// had none since `Days` was marked and are in no detail. Finders of blocks stay.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn lines_forget(
        &self,
        epoch: i64,
        after: LineId,
        lines: u32,
        idle: Minute,
    ) -> Result<PrunedNames<LineId>> {
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                let page = "SELECT MAX(id) AS n FROM (SELECT id FROM worker_identities WHERE id > $1 ORDER BY id LIMIT $2) AS l";
                let last = c.number(page, binds![after.0, i64::from(lines)]).await?;
                let removed = match last {
                    Some(last) => forget(c, after.0, last, i64::from(idle.0)).await?,
                    None => 0,
                };
                PrunedNames { last: last.map(LineId), removed }
            })
        })
        .await
    }

    /// Of the next `miners` miners after `after`, forgets those first seen before `seen` that have no line, no account
    /// and no part in any block or payout, with their summaries. The pool's summaries keep what they did.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn miners_forget(
        &self,
        epoch: i64,
        after: MinerId,
        miners: u32,
        seen: Timestamp,
    ) -> Result<PrunedNames<MinerId>> {
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                let page = "SELECT MAX(id) AS n FROM (SELECT id FROM miners WHERE id > $1 ORDER BY id LIMIT $2) AS m";
                let last = c.number(page, binds![after.0, i64::from(miners)]).await?;
                let mut removed = 0;
                if let Some(last) = last {
                    let ids: Vec<Id> = c.rows(NAMELESS, binds![after.0, last, seen.ms()]).await?;
                    removed = remove_miners(c, &ids).await?;
                }
                PrunedNames { last: last.map(MinerId), removed }
            })
        })
        .await
    }
}

#[derive(QueryableByName)]
struct StoredIdentity {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    host_id: i64,
    #[diesel(sql_type = BigInt)]
    miner_id: i64,
    #[diesel(sql_type = BigInt)]
    shares: i64,
    #[diesel(sql_type = BigInt)]
    work: i64,
    #[diesel(sql_type = BigInt)]
    rejects: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    first_at: Option<i64>,
}

const IDLE: &str = "SELECT l.id, l.host_id, l.miner_id, l.shares, l.work, l.rejects, \
    CASE WHEN l.shares > 0 THEN l.first_share_at END AS first_at FROM worker_identities l WHERE l.id > $1 AND l.id <= $2 \
    AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.identity_id = l.id AND s.minute >= $3) \
    AND NOT EXISTS (SELECT 1 FROM rejects r WHERE r.identity_id = l.id AND r.minute >= $4) \
    AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.identity_id = l.id) \
    AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.identity_id = l.id) ORDER BY l.id";

const NAMELESS: &str = "SELECT m.id FROM miners m WHERE m.id > $1 AND m.id <= $2 AND m.first_seen_at < $3 \
    AND m.joined_into IS NULL AND NOT EXISTS (SELECT 1 FROM miners o WHERE o.joined_into = m.id) \
    AND NOT EXISTS (SELECT 1 FROM worker_identities l WHERE l.miner_id = m.id) \
    AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.miner_id = m.id) \
    AND NOT EXISTS (SELECT 1 FROM block_weights w WHERE w.miner_id = m.id) \
    AND NOT EXISTS (SELECT 1 FROM intent_recipients i WHERE i.miner_id = m.id) ORDER BY m.id";

async fn forget(c: &mut Conn<'_>, after: i64, last: i64, idle: i64) -> Result<u64> {
    let days = i64::from(mark_in_txn(c, Mark::Days).await?.0);
    let lines: Vec<StoredIdentity> = c.rows(IDLE, binds![after, last, days, idle]).await?;
    if lines.is_empty() {
        return Ok(0);
    }
    let ids = json(&lines.iter().map(|line| [line.id]).collect::<Vec<_>>());
    let of_these = format!("identity_id IN (SELECT CAST(value->>0 AS BIGINT) FROM {})", c.json_rows());
    let rejects: Vec<Reject> = c.rows(&format!("{REJECTS} WHERE r.{of_these}"), binds![ids.clone()]).await?;
    rejects_move(c, rejects).await?;
    keep_totals(c, &lines).await?;
    c.run(&format!("DELETE FROM segments WHERE {of_these}"), binds![ids.clone()]).await?;
    let delete =
        format!("DELETE FROM worker_identities WHERE id IN (SELECT CAST(value->>0 AS BIGINT) FROM {})", c.json_rows());
    Ok(c.run(&delete, binds![ids]).await? as u64)
}

/// What the lines had done stays with their hosts and their miners.
async fn keep_totals(c: &mut Conn<'_>, lines: &[StoredIdentity]) -> Result<()> {
    let rows: Vec<_> = lines
        .iter()
        .map(|line| (line.host_id, line.miner_id, line.shares, line.work, line.rejects, line.first_at))
        .collect();
    let rows = json(&rows);
    let sums = format!(
        "SUM(CAST(value->>2 AS BIGINT)) AS shares, SUM(CAST(value->>3 AS BIGINT)) AS work, \
         SUM(CAST(value->>4 AS BIGINT)) AS rejects, MIN(CAST(value->>5 AS BIGINT)) AS first_at FROM {}",
        c.json_rows(),
    );
    let hosts = format!(
        "WITH r AS MATERIALIZED (SELECT CAST(value->>0 AS BIGINT) AS id, {sums} GROUP BY CAST(value->>0 AS BIGINT)) \
         UPDATE hosts SET gone_shares = hosts.gone_shares + r.shares, gone_work = hosts.gone_work + r.work, \
         gone_rejects = hosts.gone_rejects + r.rejects FROM r WHERE hosts.id = r.id"
    );
    c.run(&hosts, binds![rows.clone()]).await?;
    let miners = format!(
        "WITH r AS MATERIALIZED (SELECT CAST(value->>1 AS BIGINT) AS id, {sums} GROUP BY CAST(value->>1 AS BIGINT)) \
         UPDATE miners SET gone_shares = miners.gone_shares + r.shares, \
         gone_rejects = miners.gone_rejects + r.rejects, \
         gone_first_at = CASE WHEN r.first_at < miners.gone_first_at OR miners.gone_first_at IS NULL \
         THEN r.first_at ELSE miners.gone_first_at END FROM r WHERE miners.id = r.id"
    );
    c.run(&miners, binds![rows]).await?;
    Ok(())
}

async fn remove_miners(c: &mut Conn<'_>, ids: &[Id]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let ids = json(&ids.iter().map(|row| [row.id]).collect::<Vec<_>>());
    let these = format!("(SELECT CAST(value->>0 AS BIGINT) FROM {})", c.json_rows());
    for table in ["share_days", "reject_days"] {
        c.run(&format!("DELETE FROM {table} WHERE miner_id IN {these}"), binds![ids.clone()]).await?;
    }
    Ok(c.run(&format!("DELETE FROM miners WHERE id IN {these}"), binds![ids]).await? as u64)
}
