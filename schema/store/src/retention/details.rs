//! Rejects, verdicts, share batches and templates: everything that is counted, then removed.
use std::collections::BTreeMap;

use diesel::dsl::{exists, not};
use diesel::sql_types::{BigInt, Text};
use diesel::{ExpressionMethods, QueryDsl, Queryable, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{Minute, Timestamp};

use super::{days, json, step_begin};
use crate::db::{Conn, on, txn};
use crate::schema::{blocks, hosts, rejects, share_batches, templates, verdicts, worker_identities};
use crate::sql::{binds, statement};
use crate::{Result, Store};

impl Store {
    /// Moves up to `limit` rows of rejects from before the minute into the summaries; how many.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn rejects_prune(&self, epoch: i64, before: Minute, limit: u32) -> Result<u64> {
        self.run(move |db| async move {
            let old = rejects::table
                .inner_join(worker_identities::table)
                .filter(rejects::minute.lt(i64::from(before.0)))
                .order(rejects::minute)
                .limit(i64::from(limit))
                .select((
                    rejects::identity_id,
                    rejects::minute,
                    rejects::reason,
                    rejects::count,
                    worker_identities::miner_id,
                ));
            txn!(db, conn => {
                step_begin(conn, epoch).await?;
                let rows = on!(conn, c => old.load(c).await)?;
                rejects_move(conn, rows).await?
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
        self.run(move |db| async move {
            let old = diesel::alias!(templates as old);
            let made_block = exists(blocks::table.filter(blocks::template_id.eq(old.field(templates::id))));
            let unused = old
                .filter(old.field(templates::seen_at).lt(before.ms()))
                .filter(not(made_block))
                .order(old.field(templates::id))
                .limit(i64::from(limit))
                .select(old.field(templates::id));
            let delete = diesel::delete(templates::table.filter(templates::id.eq_any(unused)));
            txn!(db, conn => {
                step_begin(conn, epoch).await?;
                on!(conn, c => delete.execute(c).await)? as u64
            })
        })
        .await
    }
}

// === rejects ===

/// A row of rejects, with its miner.
#[derive(Queryable, QueryableByName)]
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
    let mut identities: BTreeMap<i64, i64> = BTreeMap::new();
    for row in &rows {
        let sum = identities.entry(row.identity_id).or_default();
        *sum = sum.saturating_add(row.count);
    }
    c.run_file(statement!("details/rejects_count.sql"), binds![json(&Vec::from_iter(identities))]).await?;
    let keys: Vec<_> = rows.iter().map(|row| (row.identity_id, row.minute, &row.reason)).collect();
    Ok(c.run_file(statement!("details/rejects_remove.sql"), binds![json(&keys)]).await? as u64)
}

// === verdicts ===

#[derive(Queryable)]
struct StoredVerdict {
    host_id: i64,
    share_seq: i64,
    minute: i64,
    difficulty: i64,
    verdict: String,
    miner_id: i64,
}

impl StoredVerdict {
    fn is_good(&self) -> bool {
        self.verdict == "verified"
    }
}

async fn verdicts_move(conn: &mut Conn<'_>, before: i64, limit: i64) -> Result<u64> {
    let old = verdicts::table
        .inner_join(worker_identities::table)
        .filter(verdicts::minute.lt(before))
        .order(verdicts::minute)
        .limit(limit)
        .select((
            verdicts::host_id,
            verdicts::share_seq,
            verdicts::minute,
            verdicts::difficulty,
            verdicts::verdict,
            worker_identities::miner_id,
        ));
    let rows: Vec<StoredVerdict> = on!(conn, c => old.load(c).await)?;
    if rows.is_empty() {
        return Ok(0);
    }
    days::verdicts_add(conn, rows.iter().map(|row| (row.miner_id, row.minute, row.is_good(), row.difficulty))).await?;
    let mut hosts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in &rows {
        let count = hosts.entry(row.host_id).or_default();
        count.0 += i64::from(row.is_good());
        count.1 += i64::from(!row.is_good());
    }
    for (host, (verified, refuted)) in hosts {
        let more = (
            hosts::pruned_verified.eq(hosts::pruned_verified + verified),
            hosts::pruned_refuted.eq(hosts::pruned_refuted + refuted),
        );
        on!(conn, c => diesel::update(hosts::table.find(host)).set(more).execute(c).await)?;
    }
    let keys: Vec<_> = rows.iter().map(|row| (row.host_id, row.share_seq)).collect();
    Ok(conn.run_file(statement!("details/verdicts_remove.sql"), binds![json(&keys)]).await? as u64)
}

// === share batches ===

async fn batches_remove(conn: &mut Conn<'_>, before: i64, limit: i64) -> Result<u64> {
    #[derive(Queryable)]
    struct Batch {
        id: i64,
        host_id: i64,
        shares: i64,
        work: i64,
    }
    let old = share_batches::table
        .filter(share_batches::last_minute.lt(before))
        .order(share_batches::last_minute)
        .limit(limit)
        .select((share_batches::id, share_batches::host_id, share_batches::shares, share_batches::work));
    let rows: Vec<Batch> = on!(conn, c => old.load(c).await)?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut hosts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in &rows {
        let sum = hosts.entry(row.host_id).or_default();
        *sum = (sum.0.saturating_add(row.shares), sum.1.saturating_add(row.work));
    }
    for (host, (shares, work)) in hosts {
        let more =
            (hosts::pruned_shares.eq(hosts::pruned_shares + shares), hosts::pruned_work.eq(hosts::pruned_work + work));
        on!(conn, c => diesel::update(hosts::table.find(host)).set(more).execute(c).await)?;
    }
    let ids: Vec<_> = rows.iter().map(|row| [row.id]).collect();
    Ok(conn.run_file(statement!("details/batches_remove.sql"), binds![json(&ids)]).await? as u64)
}
