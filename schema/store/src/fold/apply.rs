//! The statements of one step. Rows go in as one JSON list per table, so that a step of any size is a dozen
//! statements, the same on both databases.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable};
use units::Seq;

use super::aside;
use super::plan::{self, HostTotals, IdentityState, Planned, Segment, Written};
use super::{BatchRow, CandidateRow, FoldStep};
use crate::blocks::insert::{NewBlock, block_insert_in_txn};
use crate::db::Conn;
use crate::sql::{binds, statement};
use crate::{Result, StoreError};

/// Applies the step within the caller's transaction.
pub(super) async fn step(c: &mut Conn<'_>, step: &FoldStep, written: &Written) -> Result<()> {
    let (closed, mut totals) = host_lock(c, step).await?;
    templates_ensure(c, written).await?;
    let states = identities_ensure(c, step, written).await?;
    let planned = plan::plan(step, &states, closed)?;
    if let Some(batch) = &step.batch {
        batch_insert(c, step, batch).await?;
    }
    identities_update(c, &planned).await?;
    segments_put(c, &planned).await?;
    merging_reopen(c, step).await?;
    rejects_add(c, &planned).await?;
    let judged = verdicts_put(c, step.host.0, &planned).await?;
    totals.add(step, judged)?;
    // Before the candidate: its round is measured by them.
    host_update(c, step, &totals).await?;
    if let Some(candidate) = &step.candidate {
        candidate_put(c, step, candidate, &states).await?;
    }
    aside::put(c, step).await
}

/// Keeps other folders of the host out until the transaction ends; its closed position and its totals.
async fn host_lock(c: &mut Conn<'_>, step: &FoldStep) -> Result<(Seq, HostTotals)> {
    #[derive(QueryableByName)]
    struct Host {
        #[diesel(sql_type = BigInt)]
        folded_seq: i64,
        #[diesel(sql_type = BigInt)]
        closed_seq: i64,
        #[diesel(embed)]
        totals: HostTotals,
    }
    let host: Option<Host> = c.load_file(statement!("apply/host_lock.sql"), binds![step.host.0]).await?.pop();
    match host {
        Some(host) if host.folded_seq == step.from.to_i64() => Ok((Seq::from_i64(host.closed_seq), host.totals)),
        _ => Err(StoreError::Conflict { what: format!("the folded position of host {}", step.host) }),
    }
}

async fn host_update(c: &mut Conn<'_>, step: &FoldStep, totals: &HostTotals) -> Result<()> {
    let binds = binds![
        step.to.to_i64(),
        step.at.ms(),
        totals.shares,
        totals.work,
        totals.rejects,
        totals.verified,
        totals.refuted,
        totals.first_share_at,
        totals.last_share_at,
        step.host.0,
    ];
    c.run_file(statement!("apply/host_update.sql"), binds).await?;
    Ok(())
}

async fn templates_ensure(c: &mut Conn<'_>, written: &Written) -> Result<()> {
    if written.templates.is_empty() {
        return Ok(());
    }
    c.run_file(statement!("apply/templates_ensure.sql"), binds![written.templates.clone()]).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    identity_shares: i64,
    #[diesel(sql_type = BigInt)]
    identity_work: i64,
    #[diesel(sql_type = BigInt)]
    first_share_at: i64,
    #[diesel(sql_type = BigInt)]
    last_share_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    start_seq: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_seq: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    minute: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    shares: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    work: Option<i64>,
}

impl StateRow {
    fn state(self) -> IdentityState {
        let last = self.start_seq.map(|start_seq| Segment {
            start_seq,
            last_seq: self.last_seq.unwrap_or(start_seq),
            minute: self.minute.unwrap_or(0),
            shares: self.shares.unwrap_or(0),
            work: self.work.unwrap_or(0),
            total_shares: self.identity_shares,
            total_work: self.identity_work,
        });
        IdentityState {
            id: self.id,
            shares: self.identity_shares,
            work: self.identity_work,
            first_share_at: self.first_share_at,
            last_share_at: self.last_share_at,
            last,
        }
    }
}

/// The states of the step's identities, in their order. Those that are not there yet are made, with their miners.
async fn identities_ensure(c: &mut Conn<'_>, step: &FoldStep, written: &Written) -> Result<Vec<IdentityState>> {
    if step.lines.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = identity_states(c, step, written).await?;
    if rows.len() < step.lines.len() {
        let identities = || written.identities.clone();
        c.run_file(statement!("apply/miners_ensure.sql"), binds![identities(), step.at.ms()]).await?;
        c.run_file(statement!("apply/identities_ensure.sql"), binds![identities(), step.host.0]).await?;
        rows = identity_states(c, step, written).await?;
    }
    rows.sort_unstable_by_key(|row| row.place);
    let found = rows.iter().map(|row| usize::try_from(row.place).ok());
    if !found.eq((0..step.lines.len()).map(Some)) {
        return Err(StoreError::Damaged {
            what: format!("lines of host {}", step.host),
            why: "some were not stored under their own names".to_owned(),
        });
    }
    Ok(rows.into_iter().map(StateRow::state).collect())
}

async fn identity_states(c: &mut Conn<'_>, step: &FoldStep, written: &Written) -> Result<Vec<StateRow>> {
    c.load_file(statement!("apply/identity_states.sql"), binds![written.identities.clone(), step.host.0]).await
}

async fn batch_insert(c: &mut Conn<'_>, step: &FoldStep, batch: &BatchRow) -> Result<()> {
    let host = step.host.0;
    let booked = step.segments.iter().map(|segment| segment.minute).max();
    let shares = i64::try_from(batch.shares).map_err(|_| StoreError::Damaged {
        what: format!("share batch {} of host {host}", batch.first_seq),
        why: "it counts too many shares".to_owned(),
    })?;
    let binds = binds![
        host,
        batch.first_seq.to_i64(),
        batch.last_seq.to_i64(),
        shares,
        batch.work.to_i64(),
        batch.first_at.ms(),
        batch.last_at.ms(),
        batch.digest.to_vec(),
        batch.body.clone(),
        i64::from(booked.unwrap_or_else(|| batch.last_at.minute()).0),
    ];
    c.run_file(statement!("apply/batch_insert.sql"), binds).await?;
    Ok(())
}

async fn identities_update(c: &mut Conn<'_>, planned: &Planned) -> Result<()> {
    if planned.identities.is_empty() {
        return Ok(());
    }
    c.run_file(statement!("apply/identities_update.sql"), binds![planned.identities.clone()]).await?;
    Ok(())
}

async fn segments_put(c: &mut Conn<'_>, planned: &Planned) -> Result<()> {
    if planned.segments.is_empty() {
        return Ok(());
    }
    c.run_file(statement!("apply/segments_put.sql"), binds![planned.segments.clone()]).await?;
    Ok(())
}

/// A log that comes late has minutes that were merged long ago: the cleaner goes back to them.
async fn merging_reopen(c: &mut Conn<'_>, step: &FoldStep) -> Result<()> {
    let Some(first) = step.segments.iter().map(|segment| segment.minute).min() else { return Ok(()) };
    c.run_file(statement!("apply/merging_reopen.sql"), binds![i64::from(first.0)]).await?;
    Ok(())
}

async fn rejects_add(c: &mut Conn<'_>, planned: &Planned) -> Result<()> {
    if planned.rejects.is_empty() {
        return Ok(());
    }
    c.run_file(statement!("apply/rejects_add.sql"), binds![planned.rejects.clone()]).await?;
    Ok(())
}

/// How many more shares are verified, and how many more are refuted, than before.
async fn verdicts_put(c: &mut Conn<'_>, host: i64, planned: &Planned) -> Result<(i64, i64)> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        verified: i64,
        #[diesel(sql_type = BigInt)]
        refuted: i64,
    }
    if planned.verdicts.is_empty() {
        return Ok((0, 0));
    }
    let binds = binds![planned.verdicts.clone(), host];
    let change = c.load_file::<Count>(statement!("apply/verdicts_change.sql"), binds.clone()).await?.pop();
    c.run_file(statement!("apply/verdicts_put.sql"), binds).await?;
    Ok(change.map_or((0, 0), |change| (change.verified, change.refuted)))
}

async fn candidate_put(
    c: &mut Conn<'_>,
    step: &FoldStep,
    candidate: &CandidateRow,
    states: &[IdentityState],
) -> Result<()> {
    let lacks = |what: &str| StoreError::Damaged {
        what: format!("candidate {}", candidate.hash),
        why: format!("its step does not have its {what}"),
    };
    let identity = states.get(candidate.line).ok_or_else(|| lacks("line"))?.id;
    let template = step.templates.get(candidate.template).ok_or_else(|| lacks("template"))?;
    let block = NewBlock {
        hash: &candidate.hash,
        state: "candidate",
        host: step.host.0,
        merkle_root: &template.merkle_root,
        nonce: candidate.nonce,
        finder: (candidate.share_seq > Seq::ZERO).then_some((identity, candidate.share_seq.to_i64())),
        found_at: candidate.found_at,
        window_end: candidate.found_at.min(candidate.booked_until),
        policy: step.policy,
        window: step.window,
    };
    if let Some(id) = block_insert_in_txn(c, &block).await? {
        let to = step.to.to_i64();
        c.run_file(statement!("apply/window_insert.sql"), binds![id, step.host.0, to]).await?;
        c.run_file(statement!("apply/segments_close.sql"), binds![to, step.host.0]).await?;
        return Ok(());
    }
    if candidate.share_seq == Seq::ZERO {
        return Ok(());
    }
    let binds = binds![identity, step.host.0, candidate.share_seq.to_i64(), candidate.hash.clone()];
    c.run_file(statement!("apply/finder_put.sql"), binds).await?;
    Ok(())
}
