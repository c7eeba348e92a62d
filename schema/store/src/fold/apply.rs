//! The statements of one step. Rows go in as one JSON list per table, so that a step of any size is a dozen
//! statements, the same on both databases.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable};
use units::{PolicyId, Seq};

use super::aside;
use super::plan::{self, HostTotals, LineState, Planned, Segment, Written};
use super::{BatchRow, CandidateRow, FoldStep};
use crate::blocks::insert::{NewBlock, block_insert_in_txn};
use crate::db::Conn;
use crate::sql::binds;
use crate::{Result, StoreError};

/// Applies the step within the caller's transaction.
pub(super) async fn step(c: &mut Conn<'_>, step: &FoldStep, written: &Written) -> Result<()> {
    let (closed, mut totals) = host_lock(c, step).await?;
    templates_ensure(c, written, step.policy).await?;
    let states = lines_ensure(c, step, written).await?;
    let planned = plan::plan(step, &states, closed)?;
    if let Some(batch) = &step.batch {
        batch_insert(c, step, batch).await?;
    }
    lines_update(c, &planned).await?;
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
    let select = format!(
        "SELECT folded_seq, closed_seq, shares, work, rejects, verified, refuted, first_share_at, last_share_at \
         FROM hosts WHERE id = $1{}",
        c.for_update()
    );
    let host: Option<Host> = c.rows(&select, binds![step.host.0]).await?.pop();
    match host {
        Some(host) if host.folded_seq == step.from.to_i64() => Ok((Seq::from_i64(host.closed_seq), host.totals)),
        _ => Err(StoreError::Conflict { what: format!("the folded position of host {}", step.host) }),
    }
}

async fn host_update(c: &mut Conn<'_>, step: &FoldStep, totals: &HostTotals) -> Result<()> {
    let update = "UPDATE hosts SET folded_seq = $1, folded_at = $2, shares = $3, work = $4, rejects = $5, \
                  verified = $6, refuted = $7, first_share_at = $8, last_share_at = $9 WHERE id = $10";
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
    c.run(update, binds).await?;
    Ok(())
}

async fn templates_ensure(c: &mut Conn<'_>, written: &Written, policy: PolicyId) -> Result<()> {
    if written.templates.is_empty() {
        return Ok(());
    }
    let insert = format!(
        "INSERT INTO templates (merkle_root, height, prev_hash, header_base, difficulty, reward, seen_at, policy_id) \
         SELECT value->>0, CAST(value->>1 AS BIGINT), value->>2, {header_base}, CAST(value->>4 AS BIGINT), \
         CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT), {policy} FROM {rows} \
         WHERE NOT EXISTS (SELECT 1 FROM templates WHERE merkle_root = value->>0) ON CONFLICT (merkle_root) DO NOTHING",
        header_base = c.bytes_of_hex("value->>3"),
        policy = policy.0,
        rows = c.json_rows(),
    );
    c.run(&insert, binds![written.templates.clone()]).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    line_shares: i64,
    #[diesel(sql_type = BigInt)]
    line_work: i64,
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
    fn state(self) -> LineState {
        let last = self.start_seq.map(|start_seq| Segment {
            start_seq,
            last_seq: self.last_seq.unwrap_or(start_seq),
            minute: self.minute.unwrap_or(0),
            shares: self.shares.unwrap_or(0),
            work: self.work.unwrap_or(0),
            total_shares: self.line_shares,
            total_work: self.line_work,
        });
        LineState {
            id: self.id,
            shares: self.line_shares,
            work: self.line_work,
            first_share_at: self.first_share_at,
            last_share_at: self.last_share_at,
            last,
        }
    }
}

/// The states of the step's lines, in their order. Those that are not there yet are made, with their miners.
async fn lines_ensure(c: &mut Conn<'_>, step: &FoldStep, written: &Written) -> Result<Vec<LineState>> {
    if step.lines.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = line_states(c, step, written).await?;
    if rows.len() < step.lines.len() {
        // In order of address: two hosts that meet the same new miners must not wait for each other.
        let miners = format!(
            "INSERT INTO miners (address, first_seen_at) SELECT DISTINCT value->>1 AS address, {} FROM {} \
             WHERE NOT EXISTS (SELECT 1 FROM miners WHERE address = value->>1) ORDER BY address \
             ON CONFLICT (address) DO NOTHING",
            step.at.ms(),
            c.json_rows(),
        );
        c.run(&miners, binds![written.lines.clone()]).await?;
        let lines = format!(
            "INSERT INTO worker_identities (host_id, miner_id, worker, origin) \
             SELECT DISTINCT {host}, m.id, value->>2, {origin} FROM {rows} CROSS JOIN miners m \
             WHERE m.address = value->>1 ON CONFLICT (host_id, miner_id, worker, origin) DO NOTHING",
            host = step.host,
            origin = c.bytes_of_hex("value->>3"),
            rows = c.json_rows(),
        );
        c.run(&lines, binds![written.lines.clone()]).await?;
        rows = line_states(c, step, written).await?;
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

/// `CROSS JOIN` keeps SQLite from reading the whole list once for every line of the host.
async fn line_states(c: &mut Conn<'_>, step: &FoldStep, written: &Written) -> Result<Vec<StateRow>> {
    let select = format!(
        "SELECT r.place, l.id, l.shares AS line_shares, l.work AS line_work, l.first_share_at, l.last_share_at, \
         s.start_seq, s.last_seq, s.minute, s.shares, s.work \
         FROM (SELECT CAST(value->>0 AS BIGINT) AS place, value->>1 AS address, value->>2 AS worker, \
         {origin} AS origin FROM {rows}) AS r \
         CROSS JOIN miners m CROSS JOIN worker_identities l \
         LEFT JOIN segments s ON s.identity_id = l.id \
         AND s.start_seq = (SELECT MAX(x.start_seq) FROM segments x WHERE x.identity_id = l.id) \
         WHERE m.address = r.address \
         AND l.host_id = {host} AND l.miner_id = m.id AND l.worker = r.worker AND l.origin = r.origin",
        origin = c.bytes_of_hex("value->>3"),
        rows = c.json_rows(),
        host = step.host,
    );
    c.rows(&select, binds![written.lines.clone()]).await
}

async fn batch_insert(c: &mut Conn<'_>, step: &FoldStep, batch: &BatchRow) -> Result<()> {
    let host = step.host.0;
    let insert = "INSERT INTO share_batches \
                  (host_id, first_seq, last_seq, shares, work, first_at, last_at, digest, body, last_minute) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
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
    c.run(insert, binds).await?;
    Ok(())
}

async fn lines_update(c: &mut Conn<'_>, planned: &Planned) -> Result<()> {
    if planned.lines.is_empty() {
        return Ok(());
    }
    let update = format!(
        "WITH r AS MATERIALIZED (SELECT CAST(value->>0 AS BIGINT) AS id, CAST(value->>1 AS BIGINT) AS shares, \
         CAST(value->>2 AS BIGINT) AS work, CAST(value->>3 AS BIGINT) AS rejects, \
         CAST(value->>4 AS BIGINT) AS first_share_at, CAST(value->>5 AS BIGINT) AS last_share_at FROM {}) \
         UPDATE worker_identities SET shares = r.shares, work = r.work, rejects = worker_identities.rejects + r.rejects, \
         first_share_at = r.first_share_at, last_share_at = r.last_share_at FROM r WHERE worker_identities.id = r.id",
        c.json_rows(),
    );
    c.run(&update, binds![planned.lines.clone()]).await?;
    Ok(())
}

async fn segments_put(c: &mut Conn<'_>, planned: &Planned) -> Result<()> {
    if planned.segments.is_empty() {
        return Ok(());
    }
    let upsert = format!(
        "INSERT INTO segments (identity_id, start_seq, last_seq, minute, shares, work, total_shares, total_work) \
         SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
         CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT), \
         CAST(value->>6 AS BIGINT), CAST(value->>7 AS BIGINT) FROM {} WHERE true \
         ON CONFLICT (identity_id, start_seq) DO UPDATE SET last_seq = excluded.last_seq, shares = excluded.shares, \
         work = excluded.work, total_shares = excluded.total_shares, total_work = excluded.total_work",
        c.json_rows(),
    );
    c.run(&upsert, binds![planned.segments.clone()]).await?;
    Ok(())
}

/// A log that comes late has minutes that were merged long ago: the cleaner goes back to them.
async fn merging_reopen(c: &mut Conn<'_>, step: &FoldStep) -> Result<()> {
    let Some(first) = step.segments.iter().map(|segment| segment.minute).min() else { return Ok(()) };
    let update = "UPDATE retention_marks SET minute = $1 WHERE kind IN ('ten_minutes', 'days') AND minute > $1";
    c.run(update, binds![i64::from(first.0)]).await?;
    Ok(())
}

async fn rejects_add(c: &mut Conn<'_>, planned: &Planned) -> Result<()> {
    if planned.rejects.is_empty() {
        return Ok(());
    }
    let upsert = format!(
        "INSERT INTO rejects (identity_id, minute, reason, count) \
         SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2, CAST(value->>3 AS BIGINT) \
         FROM {} WHERE true \
         ON CONFLICT (identity_id, minute, reason) DO UPDATE SET count = rejects.count + excluded.count",
        c.json_rows(),
    );
    c.run(&upsert, binds![planned.rejects.clone()]).await?;
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
    // What a row says after the upsert, less what it said before it.
    let count = |verdict: &str| format!("COUNT(CASE WHEN {verdict} = 'verified' THEN 1 END)");
    let change = format!(
        "SELECT {after} - {before} AS verified, COUNT(*) - {after} - COUNT(v.verdict) + {before} AS refuted \
         FROM {rows} LEFT JOIN verdicts v ON v.host_id = {host} AND v.share_seq = CAST(value->>0 AS BIGINT)",
        after = count("CASE WHEN v.verdict IS NULL OR value->>4 = 'voided' THEN value->>4 ELSE v.verdict END"),
        before = count("v.verdict"),
        rows = c.json_rows(),
    );
    let change = c.rows::<Count>(&change, binds![planned.verdicts.clone()]).await?.pop();
    let upsert = format!(
        "INSERT INTO verdicts (host_id, share_seq, identity_id, minute, difficulty, verdict, seq) \
         SELECT {host}, CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
         CAST(value->>3 AS BIGINT), value->>4, CAST(value->>5 AS BIGINT) FROM {} WHERE true \
         ON CONFLICT (host_id, share_seq) DO UPDATE SET verdict = excluded.verdict, seq = excluded.seq \
         WHERE excluded.verdict = 'voided' AND verdicts.verdict <> 'voided'",
        c.json_rows(),
    );
    c.run(&upsert, binds![planned.verdicts.clone()]).await?;
    Ok(change.map_or((0, 0), |change| (change.verified, change.refuted)))
}

async fn candidate_put(
    c: &mut Conn<'_>,
    step: &FoldStep,
    candidate: &CandidateRow,
    states: &[LineState],
) -> Result<()> {
    let lacks = |what: &str| StoreError::Damaged {
        what: format!("candidate {}", candidate.hash),
        why: format!("its step does not have its {what}"),
    };
    let line = states.get(candidate.line).ok_or_else(|| lacks("line"))?.id;
    let template = step.templates.get(candidate.template).ok_or_else(|| lacks("template"))?;
    let block = NewBlock {
        hash: &candidate.hash,
        state: "candidate",
        host: step.host.0,
        merkle_root: &template.merkle_root,
        nonce: candidate.nonce,
        finder: (candidate.share_seq > Seq::ZERO).then_some((line, candidate.share_seq.to_i64())),
        found_at: candidate.found_at,
        window_end: candidate.found_at.min(candidate.booked_until),
        policy: step.policy,
        window: step.window,
    };
    if let Some(id) = block_insert_in_txn(c, &block).await? {
        let to = step.to.to_i64();
        let window = "INSERT INTO block_windows (block_id, host_id, end_seq) VALUES ($1, $2, $3)";
        c.run(window, binds![id, step.host.0, to]).await?;
        c.run("UPDATE hosts SET closed_seq = $1 WHERE id = $2", binds![to, step.host.0]).await?;
        return Ok(());
    }
    if candidate.share_seq == Seq::ZERO {
        return Ok(());
    }
    // What was computed without a finder stays without one, and so does a block whose window was closed before its share
    // came into the log again.
    let find = "UPDATE blocks SET identity_id = $1, host_id = $2, share_seq = $3 \
                WHERE hash = $4 AND identity_id IS NULL AND weights_digest IS NULL AND EXISTS (SELECT 1 FROM block_windows w \
                WHERE w.block_id = blocks.id AND w.host_id = $2 AND w.end_seq >= $3)";
    c.run(find, binds![line, step.host.0, candidate.share_seq.to_i64(), candidate.hash.clone()]).await?;
    Ok(())
}
