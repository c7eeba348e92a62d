//! Segments: minutes become ten minutes, ten minutes become days.
use std::collections::BTreeMap;

use diesel::dsl::min;
use diesel::{ExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use units::{LineId, Minute};

use super::{DAY, days, identities_page_end, json, step_begin};
use crate::db::{Conn, on, q, txn};
use crate::schema::{block_windows, blocks, segments, worker_identities};
use crate::sql::{binds, statement};
use crate::{Result, Store};

/// What segments are merged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Not over the start or the end of any block's window.
    TenMinutes,
    /// The whole day, which is added to the summaries at the same time.
    Day,
}

impl Span {
    fn minutes(self) -> i64 {
        match self {
            Span::TenMinutes => 10,
            Span::Day => i64::from(DAY),
        }
    }
}

/// What one step of merging did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The last worker identity looked at; `None` when none was left.
    pub last: Option<LineId>,
    /// Segments that were merged away.
    pub removed: u64,
}

#[derive(Queryable, Debug, Clone, PartialEq, Eq)]
struct Row {
    host_id: i64,
    miner_id: i64,
    identity_id: i64,
    start_seq: i64,
    last_seq: i64,
    minute: i64,
    span: i64,
    shares: i64,
    work: i64,
    total_shares: i64,
    total_work: i64,
}

/// Where windows begin (any host) and end (by host).
#[derive(Default)]
struct Edges {
    starts: Vec<i64>,
    ends: BTreeMap<i64, Vec<i64>>,
}

impl Store {
    /// The first minute at or after `from` that has a segment.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn segment_next(&self, from: Minute) -> Result<Option<Minute>> {
        let next: Option<i64> = self
            .run(move |db| async move {
                let next = segments::table.filter(segments::minute.ge(i64::from(from.0))).select(min(segments::minute));
                Ok(q!(db, read, c => next.first(c).await)?)
            })
            .await?;
        next.map(|minute| crate::column::minute(minute, "segment")).transpose()
    }

    /// Merges the segments from minute `from` to before `until` (both at a border of the span) of the next
    /// `identities` worker identities after `after`. Doing it again changes nothing.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn segments_merge(
        &self,
        epoch: i64,
        span: Span,
        from: Minute,
        until: Minute,
        after: LineId,
        identities: u32,
    ) -> Result<Merged> {
        let range = (i64::from(from.0), i64::from(until.0));
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                let last = identities_page_end(c, after.0, identities).await?;
                let removed = match last {
                    Some(last) => merge_identities(c, span, range, (after.0, last)).await?,
                    None => 0,
                };
                Merged { last: last.map(LineId), removed }
            })
        })
        .await
    }
}

async fn merge_identities(conn: &mut Conn<'_>, span: Span, range: (i64, i64), identities: (i64, i64)) -> Result<u64> {
    // By identity, so that the index gives no more than what is wanted.
    let these = worker_identities::table
        .inner_join(segments::table)
        .filter(worker_identities::id.gt(identities.0))
        .filter(worker_identities::id.le(identities.1))
        .filter(segments::minute.ge(range.0))
        .filter(segments::minute.lt(range.1))
        .filter(segments::span.lt(span.minutes()))
        .order((segments::identity_id, segments::start_seq))
        .select((
            worker_identities::host_id,
            worker_identities::miner_id,
            segments::identity_id,
            segments::start_seq,
            segments::last_seq,
            segments::minute,
            segments::span,
            segments::shares,
            segments::work,
            segments::total_shares,
            segments::total_work,
        ));
    let rows: Vec<Row> = on!(conn, c => these.load(c).await)?;
    let edges = match span {
        Span::TenMinutes => edges(conn, range, &rows).await?,
        Span::Day => {
            days::work_add(conn, rows.iter().map(|row| (row.miner_id, row.minute, row.shares, row.work))).await?;
            Edges::default()
        }
    };
    let (merged, gone) = merge(&rows, span.minutes(), &edges);
    if !gone.is_empty() {
        conn.run_file(statement!("segments/remove.sql"), binds![json(&gone)]).await?;
    }
    if !merged.is_empty() {
        let rows: Vec<_> = merged
            .iter()
            .map(|s| (s.identity_id, s.start_seq, s.last_seq, s.shares, s.work, s.total_shares, s.total_work))
            .collect();
        conn.run_file(statement!("segments/merge.sql"), binds![json(&rows), span.minutes()]).await?;
    }
    Ok(gone.len() as u64)
}

/// Starts of windows in the range, and ends of windows in the log between the rows.
async fn edges(conn: &mut Conn<'_>, range: (i64, i64), rows: &[Row]) -> Result<Edges> {
    let mut edges = Edges::default();
    let starts = blocks::table
        .filter(blocks::window_start.ge(range.0 * 60_000))
        .filter(blocks::window_start.lt(range.1 * 60_000))
        .order(blocks::window_start)
        .select(blocks::window_start);
    let starts: Vec<i64> = on!(conn, c => starts.load(c).await)?;
    edges.starts = starts.into_iter().map(|start| start / 60_000).collect();
    let mut hosts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in rows {
        let seen = hosts.entry(row.host_id).or_insert((row.start_seq, row.last_seq));
        *seen = (seen.0.min(row.start_seq), seen.1.max(row.last_seq));
    }
    for (host, (first, last)) in hosts {
        let ends = block_windows::table
            .filter(block_windows::host_id.eq(host))
            .filter(block_windows::end_seq.ge(first))
            .filter(block_windows::end_seq.le(last))
            .order(block_windows::end_seq)
            .select(block_windows::end_seq)
            .distinct();
        edges.ends.insert(host, on!(conn, c => ends.load(c).await)?);
    }
    Ok(edges)
}

impl Edges {
    /// Whether a window begins or ends after `a` and not after `b`, the next segment of the same identity.
    fn part(&self, a: &Row, b: &Row) -> bool {
        let between = |edges: &[i64], from: i64, to: i64| {
            let first = edges.partition_point(|edge| *edge < from);
            edges.get(first).is_some_and(|edge| *edge < to)
        };
        // Begins: with minute edge, `a` before it and `b` not. Ends: at position edge, `a` begins up to it, `b` after it.
        between(&self.starts, a.minute + 1, b.minute + 1)
            || self.ends.get(&a.host_id).is_some_and(|ends| between(ends, a.start_seq, b.start_seq))
    }
}

/// Rows by identity and position; the rows that stay and their new contents, and the keys of those that go.
fn merge(rows: &[Row], span: i64, edges: &Edges) -> (Vec<Row>, Vec<(i64, i64)>) {
    let mut merged: Vec<Row> = Vec::new();
    let mut gone = Vec::new();
    let mut before: Option<&Row> = None;
    for row in rows {
        let joins = before.is_some_and(|before| {
            before.identity_id == row.identity_id
                && before.minute / span == row.minute / span
                && !edges.part(before, row)
        });
        before = Some(row);
        match merged.last_mut().filter(|_| joins) {
            Some(open) => {
                open.last_seq = row.last_seq;
                open.shares = open.shares.saturating_add(row.shares);
                open.work = open.work.saturating_add(row.work);
                (open.total_shares, open.total_work) = (row.total_shares, row.total_work);
                gone.push((row.identity_id, row.start_seq));
            }
            None => merged.push(row.clone()),
        }
    }
    (merged, gone)
}
