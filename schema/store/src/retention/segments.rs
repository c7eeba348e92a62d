//! Segments: minutes become ten minutes, ten minutes become days.
use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use units::{LineId, Minute};

use super::{DAY, days, json, step_begin};
use crate::db::{Conn, txn};
use crate::sql::binds;
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
    /// The last line looked at; `None` when none was left.
    pub last: Option<LineId>,
    /// Segments that were merged away.
    pub removed: u64,
}

#[derive(QueryableByName, Debug, Clone, PartialEq, Eq)]
struct Row {
    #[diesel(sql_type = BigInt)]
    host_id: i64,
    #[diesel(sql_type = BigInt)]
    miner_id: i64,
    #[diesel(sql_type = BigInt)]
    identity_id: i64,
    #[diesel(sql_type = BigInt)]
    start_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    minute: i64,
    #[diesel(sql_type = BigInt)]
    span: i64,
    #[diesel(sql_type = BigInt)]
    shares: i64,
    #[diesel(sql_type = BigInt)]
    work: i64,
    #[diesel(sql_type = BigInt)]
    total_shares: i64,
    #[diesel(sql_type = BigInt)]
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
        let next = "SELECT MIN(minute) AS n FROM segments WHERE minute >= $1";
        let next = self.number(next, binds![i64::from(from.0)]).await?;
        next.map(|minute| crate::column::minute(minute, "segment")).transpose()
    }

    /// Merges the segments from minute `from` to before `until` (both at a border of the span) of the next `lines`
    /// lines after `after`. Doing it again changes nothing.
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
        lines: u32,
    ) -> Result<Merged> {
        let range = (i64::from(from.0), i64::from(until.0));
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                let page = "SELECT MAX(id) AS n FROM (SELECT id FROM worker_identities WHERE id > $1 ORDER BY id LIMIT $2) AS l";
                let last = c.number(page, binds![after.0, i64::from(lines)]).await?;
                let removed = match last {
                    Some(last) => merge_lines(c, span, range, (after.0, last)).await?,
                    None => 0,
                };
                Merged { last: last.map(LineId), removed }
            })
        })
        .await
    }
}

async fn merge_lines(c: &mut Conn<'_>, span: Span, range: (i64, i64), lines: (i64, i64)) -> Result<u64> {
    // By line, so that the index gives no more than what is wanted.
    let select = "SELECT l.host_id, l.miner_id, s.identity_id, s.start_seq, s.last_seq, s.minute, s.span, s.shares, s.work, \
                  s.total_shares, s.total_work FROM worker_identities l JOIN segments s ON s.identity_id = l.id \
                  AND s.minute >= $1 AND s.minute < $2 WHERE l.id > $3 AND l.id <= $4 AND s.span < $5 \
                  ORDER BY s.identity_id, s.start_seq";
    let binds = binds![range.0, range.1, lines.0, lines.1, span.minutes()];
    let rows: Vec<Row> = c.rows(select, binds).await?;
    let edges = match span {
        Span::TenMinutes => edges(c, range, &rows).await?,
        Span::Day => {
            days::work_add(c, rows.iter().map(|row| (row.miner_id, row.minute, row.shares, row.work))).await?;
            Edges::default()
        }
    };
    let (merged, gone) = merge(&rows, span.minutes(), &edges);
    if !gone.is_empty() {
        let delete = format!(
            "DELETE FROM segments WHERE (identity_id, start_seq) IN \
             (SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT) FROM {})",
            c.json_rows(),
        );
        c.run(&delete, binds![json(&gone)]).await?;
    }
    if !merged.is_empty() {
        let update = format!(
            "WITH r AS MATERIALIZED (SELECT CAST(value->>0 AS BIGINT) AS identity_id, CAST(value->>1 AS BIGINT) AS start_seq, \
             CAST(value->>2 AS BIGINT) AS last_seq, CAST(value->>3 AS BIGINT) AS shares, \
             CAST(value->>4 AS BIGINT) AS work, CAST(value->>5 AS BIGINT) AS total_shares, \
             CAST(value->>6 AS BIGINT) AS total_work FROM {}) \
             UPDATE segments SET last_seq = r.last_seq, shares = r.shares, work = r.work, \
             total_shares = r.total_shares, total_work = r.total_work, span = {} \
             FROM r WHERE segments.identity_id = r.identity_id AND segments.start_seq = r.start_seq",
            c.json_rows(),
            span.minutes(),
        );
        let rows: Vec<_> = merged
            .iter()
            .map(|s| (s.identity_id, s.start_seq, s.last_seq, s.shares, s.work, s.total_shares, s.total_work))
            .collect();
        c.run(&update, binds![json(&rows)]).await?;
    }
    Ok(gone.len() as u64)
}

/// Starts of windows in the range, and ends of windows in the log between the rows.
async fn edges(c: &mut Conn<'_>, range: (i64, i64), rows: &[Row]) -> Result<Edges> {
    #[derive(QueryableByName)]
    struct Edge {
        #[diesel(sql_type = BigInt)]
        at: i64,
    }
    let list = |rows: Vec<Edge>| rows.into_iter().map(|row| row.at).collect();
    let mut edges = Edges::default();
    let starts = "SELECT DISTINCT window_start / 60000 AS at FROM blocks \
                  WHERE window_start >= $1 AND window_start < $2 ORDER BY at";
    edges.starts = list(c.rows(starts, binds![range.0 * 60_000, range.1 * 60_000]).await?);
    let mut hosts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in rows {
        let seen = hosts.entry(row.host_id).or_insert((row.start_seq, row.last_seq));
        *seen = (seen.0.min(row.start_seq), seen.1.max(row.last_seq));
    }
    for (host, (first, last)) in hosts {
        let ends = "SELECT DISTINCT end_seq AS at FROM block_windows \
                    WHERE host_id = $1 AND end_seq >= $2 AND end_seq <= $3 ORDER BY end_seq";
        edges.ends.insert(host, list(c.rows(ends, binds![host, first, last]).await?));
    }
    Ok(edges)
}

impl Edges {
    /// Whether a window begins or ends after `a` and not after `b`, the next segment of the same line.
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

/// Rows by line and position; the rows that stay and their new contents, and the keys of those that go.
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
