//! Worker identities and miners: names that anybody can invent, so those that did nothing for long are forgotten.
use diesel::dsl::{case_when, exists, not};
use diesel::{ExpressionMethods, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use units::{LineId, MinerId, Minute, Timestamp};

use super::details::{Reject, rejects_move};
use super::{Mark, identities_page_end, json, mark_in_txn, page_end, step_begin};
use crate::db::{Conn, on, txn};
use crate::schema::{
    accounts, block_weights, blocks, intent_recipients, miners, rejects, segments, verdicts, worker_identities,
};
use crate::sql::{binds, statement};
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
    /// Of the next `identities` worker identities after `after`, forgets those without a reject since `idle` that never
    /// had a share, or had none since `Days` was marked and are in no detail. Finders of blocks stay.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn lines_forget(
        &self,
        epoch: i64,
        after: LineId,
        identities: u32,
        idle: Minute,
    ) -> Result<PrunedNames<LineId>> {
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                let last = identities_page_end(c, after.0, identities).await?;
                let removed = match last {
                    Some(last) => forget(c, after.0, last, i64::from(idle.0)).await?,
                    None => 0,
                };
                PrunedNames { last: last.map(LineId), removed }
            })
        })
        .await
    }

    /// Of the next `miners` miners after `after`, forgets those first seen before `seen` that have no identity, no
    /// account and no part in any block or payout, with their summaries. The pool's summaries keep what they did.
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
                let last = page_end(c, statement!("names/miners_page.sql"), after.0, miners).await?;
                let mut removed = 0;
                if let Some(last) = last {
                    let ids = nameless(c, after.0, last, seen.ms()).await?;
                    removed = remove_miners(c, &ids).await?;
                }
                PrunedNames { last: last.map(MinerId), removed }
            })
        })
        .await
    }
}

#[derive(Queryable)]
struct StoredIdentity {
    id: i64,
    host_id: i64,
    miner_id: i64,
    shares: i64,
    work: i64,
    rejects: i64,
    first_at: Option<i64>,
}

/// Of the worker identities after `after` up to `last`, those without a segment since `days`, a reject since `idle`, a
/// verdict, or a block.
async fn idle_identities(
    conn: &mut Conn<'_>,
    after: i64,
    last: i64,
    days: i64,
    idle: i64,
) -> Result<Vec<StoredIdentity>> {
    use worker_identities as identity;
    let segment = segments::table.filter(segments::identity_id.eq(identity::id)).filter(segments::minute.ge(days));
    let reject = rejects::table.filter(rejects::identity_id.eq(identity::id)).filter(rejects::minute.ge(idle));
    let verdict = verdicts::table.filter(verdicts::identity_id.eq(identity::id));
    let block = blocks::table.filter(blocks::identity_id.eq(identity::id.nullable()));
    let first_at = case_when(identity::shares.gt(0), identity::first_share_at);
    let idle = identity::table
        .filter(identity::id.gt(after))
        .filter(identity::id.le(last))
        .filter(not(exists(segment)))
        .filter(not(exists(reject)))
        .filter(not(exists(verdict)))
        .filter(not(exists(block)))
        .order(identity::id)
        .select((
            identity::id,
            identity::host_id,
            identity::miner_id,
            identity::shares,
            identity::work,
            identity::rejects,
            first_at,
        ));
    Ok(on!(conn, c => idle.load(c).await)?)
}

/// Of the miners after `after` up to `last`, those first seen before `seen` that nothing names.
async fn nameless(conn: &mut Conn<'_>, after: i64, last: i64, seen: i64) -> Result<Vec<i64>> {
    let old = diesel::alias!(miners as old);
    let joined = old.filter(old.field(miners::joined_into).eq(miners::id.nullable()));
    let identity = worker_identities::table.filter(worker_identities::miner_id.eq(miners::id));
    let account = accounts::table.filter(accounts::miner_id.eq(miners::id.nullable()));
    let weight = block_weights::table.filter(block_weights::miner_id.eq(miners::id));
    let recipient = intent_recipients::table.filter(intent_recipients::miner_id.eq(miners::id));
    let nameless = miners::table
        .filter(miners::id.gt(after))
        .filter(miners::id.le(last))
        .filter(miners::first_seen_at.lt(seen))
        .filter(miners::joined_into.is_null())
        .filter(not(exists(joined)))
        .filter(not(exists(identity)))
        .filter(not(exists(account)))
        .filter(not(exists(weight)))
        .filter(not(exists(recipient)))
        .order(miners::id)
        .select(miners::id);
    Ok(on!(conn, c => nameless.load(c).await)?)
}

async fn forget(c: &mut Conn<'_>, after: i64, last: i64, idle: i64) -> Result<u64> {
    let days = i64::from(mark_in_txn(c, Mark::Days).await?.0);
    let identities = idle_identities(c, after, last, days, idle).await?;
    if identities.is_empty() {
        return Ok(0);
    }
    let ids = json(&identities.iter().map(|identity| [identity.id]).collect::<Vec<_>>());
    let rejects: Vec<Reject> = c.load_file(statement!("names/rejects.sql"), binds![ids.clone()]).await?;
    rejects_move(c, rejects).await?;
    keep_totals(c, &identities).await?;
    c.run_file(statement!("names/segments_remove.sql"), binds![ids.clone()]).await?;
    Ok(c.run_file(statement!("names/identities_remove.sql"), binds![ids]).await? as u64)
}

/// What the identities had done stays with their hosts and their miners.
async fn keep_totals(c: &mut Conn<'_>, identities: &[StoredIdentity]) -> Result<()> {
    let row = |of: &StoredIdentity| (of.host_id, of.miner_id, of.shares, of.work, of.rejects, of.first_at);
    let rows = json(&identities.iter().map(row).collect::<Vec<_>>());
    c.run_file(statement!("names/hosts_keep.sql"), binds![rows.clone()]).await?;
    c.run_file(statement!("names/miners_keep.sql"), binds![rows]).await?;
    Ok(())
}

async fn remove_miners(c: &mut Conn<'_>, ids: &[i64]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let ids = json(&ids.iter().map(|id| [id]).collect::<Vec<_>>());
    c.run_file(statement!("names/share_days_remove.sql"), binds![ids.clone()]).await?;
    c.run_file(statement!("names/reject_days_remove.sql"), binds![ids.clone()]).await?;
    Ok(c.run_file(statement!("names/miners_remove.sql"), binds![ids]).await? as u64)
}
