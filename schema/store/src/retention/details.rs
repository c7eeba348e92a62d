//! Rejects, verdicts, share batches and templates: everything that is counted, then removed.
use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use units::{Minute, Timestamp};

use super::{days, json, step_begin};
use crate::db::{Conn, txn};
use crate::sql::binds;
use crate::{Result, Store};

impl Store {
    /// Moves up to `limit` rows of rejects from before the minute into the summaries; how many.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn rejects_prune(&self, epoch: i64, before: Minute, limit: u32) -> Result<u64> {
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                let select = format!("{REJECTS} WHERE r.minute < $1 ORDER BY r.minute LIMIT $2");
                let rows: Vec<Reject> = c.rows(&select, binds![i64::from(before.0), i64::from(limit)]).await?;
                rejects_move(c, rows).await?
            })
        })
        .await
    }

    /// Moves up to `limit` verdicts on shares from before the minute into the summaries; how many.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn verdicts_prune(&self, epoch: i64, before: Minute, limit: u32) -> Result<u64> {
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                verdicts_move(c, i64::from(before.0), i64::from(limit)).await?
            })
        })
        .await
    }

    /// Removes up to `limit` share batches all of whose shares are from before the minute; how many.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn batches_prune(&self, epoch: i64, before: Minute, limit: u32) -> Result<u64> {
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                batches_remove(c, i64::from(before.0), i64::from(limit)).await?
            })
        })
        .await
    }

    /// Removes up to `limit` templates that were logged before `before` and made no block; how many.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn templates_prune(&self, epoch: i64, before: Timestamp, limit: u32) -> Result<u64> {
        let delete = "DELETE FROM templates WHERE id IN (SELECT t.id FROM templates t WHERE t.seen_at < $1 \
                      AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.template_id = t.id) ORDER BY t.id LIMIT $2)";
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                c.run(delete, binds![before.ms(), i64::from(limit)]).await? as u64
            })
        })
        .await
    }
}

// === rejects ===

/// All rejects (`r`) with their miners.
pub(super) const REJECTS: &str = "SELECT r.identity_id, r.minute, r.reason, r.count, l.miner_id FROM rejects r JOIN worker_identities l ON l.id = r.identity_id";

#[derive(QueryableByName)]
pub(super) struct Reject {
    #[diesel(sql_type = BigInt)]
    identity_id: i64,
    #[diesel(sql_type = BigInt)]
    minute: i64,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    miner_id: i64,
}

/// Adds the rows to the summaries and removes them; how many.
pub(super) async fn rejects_move(c: &mut Conn<'_>, rows: Vec<Reject>) -> Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    days::rejects_add(c, rows.iter().map(|row| (row.miner_id, row.minute, row.reason.clone(), row.count))).await?;
    let mut lines: BTreeMap<i64, i64> = BTreeMap::new();
    for row in &rows {
        let sum = lines.entry(row.identity_id).or_default();
        *sum = sum.saturating_add(row.count);
    }
    let update = format!(
        "WITH r AS MATERIALIZED (SELECT CAST(value->>0 AS BIGINT) AS id, CAST(value->>1 AS BIGINT) AS count FROM {}) \
         UPDATE worker_identities SET pruned_rejects = worker_identities.pruned_rejects + r.count FROM r WHERE worker_identities.id = r.id",
        c.json_rows(),
    );
    c.run(&update, binds![json(&Vec::from_iter(lines))]).await?;
    let delete = format!(
        "DELETE FROM rejects WHERE (identity_id, minute, reason) IN \
         (SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2 FROM {})",
        c.json_rows(),
    );
    let keys: Vec<_> = rows.iter().map(|row| (row.identity_id, row.minute, &row.reason)).collect();
    Ok(c.run(&delete, binds![json(&keys)]).await? as u64)
}

// === verdicts ===

#[derive(QueryableByName)]
struct StoredVerdict {
    #[diesel(sql_type = BigInt)]
    host_id: i64,
    #[diesel(sql_type = BigInt)]
    share_seq: i64,
    #[diesel(sql_type = BigInt)]
    minute: i64,
    #[diesel(sql_type = BigInt)]
    difficulty: i64,
    #[diesel(sql_type = Text)]
    verdict: String,
    #[diesel(sql_type = BigInt)]
    miner_id: i64,
}

impl StoredVerdict {
    fn is_good(&self) -> bool {
        self.verdict == "verified"
    }
}

async fn verdicts_move(c: &mut Conn<'_>, before: i64, limit: i64) -> Result<u64> {
    let select = "SELECT v.host_id, v.share_seq, v.minute, v.difficulty, v.verdict, l.miner_id FROM verdicts v \
                  JOIN worker_identities l ON l.id = v.identity_id WHERE v.minute < $1 ORDER BY v.minute LIMIT $2";
    let rows: Vec<StoredVerdict> = c.rows(select, binds![before, limit]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    days::verdicts_add(c, rows.iter().map(|row| (row.miner_id, row.minute, row.is_good(), row.difficulty))).await?;
    let mut hosts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in &rows {
        let count = hosts.entry(row.host_id).or_default();
        count.0 += i64::from(row.is_good());
        count.1 += i64::from(!row.is_good());
    }
    for (host, (verified, refuted)) in hosts {
        let update = "UPDATE hosts SET pruned_verified = pruned_verified + $1, pruned_refuted = pruned_refuted + $2 \
                      WHERE id = $3";
        c.run(update, binds![verified, refuted, host]).await?;
    }
    let delete = format!(
        "DELETE FROM verdicts WHERE (host_id, share_seq) IN \
         (SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT) FROM {})",
        c.json_rows(),
    );
    let keys: Vec<_> = rows.iter().map(|row| (row.host_id, row.share_seq)).collect();
    Ok(c.run(&delete, binds![json(&keys)]).await? as u64)
}

// === share batches ===

async fn batches_remove(c: &mut Conn<'_>, before: i64, limit: i64) -> Result<u64> {
    #[derive(QueryableByName)]
    struct Batch {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = BigInt)]
        host_id: i64,
        #[diesel(sql_type = BigInt)]
        shares: i64,
        #[diesel(sql_type = BigInt)]
        work: i64,
    }
    let select =
        "SELECT id, host_id, shares, work FROM share_batches WHERE last_minute < $1 ORDER BY last_minute LIMIT $2";
    let rows: Vec<Batch> = c.rows(select, binds![before, limit]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut hosts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in &rows {
        let sum = hosts.entry(row.host_id).or_default();
        *sum = (sum.0.saturating_add(row.shares), sum.1.saturating_add(row.work));
    }
    for (host, (shares, work)) in hosts {
        let update =
            "UPDATE hosts SET pruned_shares = pruned_shares + $1, pruned_work = pruned_work + $2 WHERE id = $3";
        c.run(update, binds![shares, work, host]).await?;
    }
    let delete =
        format!("DELETE FROM share_batches WHERE id IN (SELECT CAST(value->>0 AS BIGINT) FROM {})", c.json_rows());
    let ids: Vec<_> = rows.iter().map(|row| [row.id]).collect();
    Ok(c.run(&delete, binds![json(&ids)]).await? as u64)
}
