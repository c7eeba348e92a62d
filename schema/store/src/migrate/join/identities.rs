//! Worker identities of two miners that become one's.
//!
//! A line that the other miner has no twin of (same host, worker, origin) only gets another miner. Twins become one line
//! with the segments of both. Segments that lie within each other become one; running totals follow anew. No window sum
//! changes: a segment never lies across the border of a window, so those within each other lie on the same side of each.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::migrate::tx::Tx;
use crate::sql::binds;
use crate::{Result, StoreError};

/// Minutes of a segment that stands for a day, and is in the summaries.
const DAY: i64 = 1440;
/// The whole pool's place among the miners, in the summaries.
const POOL: i64 = 0;

#[derive(QueryableByName)]
struct StoredIdentity {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    host_id: i64,
    #[diesel(sql_type = Text)]
    worker: String,
    #[diesel(sql_type = Binary)]
    origin: Vec<u8>,
}

#[derive(QueryableByName, Debug, Clone, PartialEq, Eq)]
struct Segment {
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
}

/// Gives all lines of the miner `from` to the miner `to`.
pub(super) fn join(c: &mut Tx<'_>, from: i64, to: i64) -> Result<()> {
    let lines: Vec<StoredIdentity> =
        c.rows("SELECT id, host_id, worker, origin FROM worker_identities WHERE miner_id = $1", binds![from])?;
    for line in lines {
        let twin = "SELECT id AS n FROM worker_identities WHERE host_id = $1 AND miner_id = $2 AND worker = $3 AND origin = $4";
        match c.number(twin, binds![line.host_id, to, line.worker, line.origin])? {
            Some(twin) => merge(c, line.id, twin, to)?,
            None => {
                c.run("UPDATE worker_identities SET miner_id = $1 WHERE id = $2", binds![to, line.id])?;
            }
        }
    }
    Ok(())
}

fn merge(c: &mut Tx<'_>, from: i64, to: i64, miner: i64) -> Result<()> {
    segments(c, from, to, miner)?;
    for table in ["verdicts", "blocks"] {
        c.run(&format!("UPDATE {table} SET identity_id = $1 WHERE identity_id = $2"), binds![to, from])?;
    }
    let rejects = "INSERT INTO rejects (identity_id, minute, reason, count) SELECT $1, minute, reason, count FROM rejects \
                   WHERE identity_id = $2 \
                   ON CONFLICT (identity_id, minute, reason) DO UPDATE SET count = rejects.count + excluded.count";
    c.run(rejects, binds![to, from])?;
    c.run("DELETE FROM rejects WHERE identity_id = $1", binds![from])?;
    // A line without a share has 0 for both times.
    let totals = "UPDATE worker_identities AS l SET shares = l.shares + f.shares, work = l.work + f.work, \
                  rejects = l.rejects + f.rejects, pruned_rejects = l.pruned_rejects + f.pruned_rejects, \
                  first_share_at = CASE WHEN f.shares > 0 AND (l.shares = 0 OR f.first_share_at < l.first_share_at) \
                  THEN f.first_share_at ELSE l.first_share_at END, \
                  last_share_at = CASE WHEN f.last_share_at > l.last_share_at \
                  THEN f.last_share_at ELSE l.last_share_at END \
                  FROM (SELECT * FROM worker_identities WHERE id = $1) AS f WHERE l.id = $2";
    c.run(totals, binds![from, to])?;
    c.run("DELETE FROM worker_identities WHERE id = $1", binds![from])?;
    Ok(())
}

fn segments(c: &mut Tx<'_>, from: i64, to: i64, miner: i64) -> Result<()> {
    let select = "SELECT start_seq, last_seq, minute, span, shares, work FROM segments WHERE identity_id IN ($1, $2) \
                  ORDER BY start_seq";
    let both: Vec<Segment> = c.rows(select, binds![from, to])?;
    let (joined, late) = weave(both).ok_or_else(|| too_large(to))?;
    c.run("DELETE FROM segments WHERE identity_id IN ($1, $2)", binds![from, to])?;
    let (mut total_shares, mut total_work) = (0_i64, 0_i64);
    for row in joined {
        total_shares = total_shares.checked_add(row.shares).ok_or_else(|| too_large(to))?;
        total_work = total_work.checked_add(row.work).ok_or_else(|| too_large(to))?;
        let insert = "INSERT INTO segments (identity_id, start_seq, last_seq, minute, span, shares, work, total_shares, \
                      total_work) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let binds = binds![
            to,
            row.start_seq,
            row.last_seq,
            row.minute,
            row.span,
            row.shares,
            row.work,
            total_shares,
            total_work,
        ];
        c.run(insert, binds)?;
    }
    for row in late {
        for of in [miner, POOL] {
            let add = "INSERT INTO share_days (miner_id, day, shares, work) VALUES ($1, $2, $3, $4) \
                       ON CONFLICT (miner_id, day) DO UPDATE SET shares = share_days.shares + excluded.shares, \
                       work = share_days.work + excluded.work";
            c.run(add, binds![of, row.minute / DAY, row.shares, row.work])?;
        }
    }
    Ok(())
}

fn too_large(line: i64) -> StoreError {
    StoreError::Damaged { what: format!("line {line}"), why: "a sum of its segments is too large".to_owned() }
}

/// One line's segments out of two lines', in order of their start; and those that went into a segment of a day without
/// having been summed up with it. `None` when a sum is too large.
fn weave(rows: Vec<Segment>) -> Option<(Vec<Segment>, Vec<Segment>)> {
    let mut joined: Vec<Segment> = Vec::with_capacity(rows.len());
    let mut late = Vec::new();
    // What the last one of `joined` was made of, without days.
    let mut parts: Vec<Segment> = Vec::new();
    let mut close = |whole: Option<&Segment>, parts: &mut Vec<Segment>| {
        let all = parts.drain(..);
        late.extend(all.filter(|_| whole.is_some_and(|whole| whole.span == DAY)));
    };
    for row in rows {
        let is_within = joined.last().is_some_and(|last| row.start_seq <= last.last_seq);
        if !is_within {
            close(joined.last(), &mut parts);
            joined.push(row.clone());
        } else if let Some(last) = joined.last_mut() {
            last.last_seq = last.last_seq.max(row.last_seq);
            last.minute = last.minute.min(row.minute);
            last.span = last.span.max(row.span);
            last.shares = last.shares.checked_add(row.shares)?;
            last.work = last.work.checked_add(row.work)?;
        }
        parts.extend(Some(row).filter(|row| row.span != DAY));
    }
    close(joined.last(), &mut parts);
    Some((joined, late))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start_seq: i64, last_seq: i64, minute: i64, span: i64) -> Segment {
        Segment { start_seq, last_seq, minute, span, shares: 2, work: 10 }
    }

    #[test]
    fn segments_within_each_other_become_one_and_others_stay() {
        let rows = vec![
            segment(1, 9, 5, 1),
            segment(2, 4, 5, 1),
            segment(6, 12, 5, 1),
            segment(13, 13, 5, 1),
            segment(20, 30, 6, 1),
        ];
        let (joined, late) = weave(rows).unwrap();
        let whole = Segment { shares: 6, work: 30, ..segment(1, 12, 5, 1) };
        assert_eq!(joined, [whole, segment(13, 13, 5, 1), segment(20, 30, 6, 1)]);
        assert!(late.is_empty());
    }

    #[test]
    fn what_goes_into_a_day_that_was_summed_up_without_it_is_summed_up_now() {
        let rows = vec![segment(1, 90, 1440, DAY), segment(5, 6, 1441, 10), segment(91, 95, 2000, 10)];
        let (joined, late) = weave(rows).unwrap();
        assert_eq!(joined, [Segment { shares: 4, work: 20, ..segment(1, 90, 1440, DAY) }, segment(91, 95, 2000, 10)]);
        assert_eq!(late, [segment(5, 6, 1441, 10)]);
    }
}
