//! Stored shares that nobody has judged, for a check after the fact.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Text};
use units::{BlockRowId, Difficulty, HostId, MinerId, Minute, Nonce, Seq, Timestamp, Work};

use crate::batch::ShareBatch;
use crate::db::snapshot;
use crate::fold::LineKey;
use crate::sql::binds;
use crate::suspects::origin_of;
use crate::{Result, Store, StoreError, column};

/// Flag of a share that claimed to be a block: those are all checked, in their own way.
const CLAIMS_BLOCK: u8 = 2;
/// Batches read for one segment: it is a minute, and a batch about a second.
const BATCHES_MAX: i64 = 256;

/// Accepted work of one line in one minute or less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkSegment {
    /// Whose.
    pub line: LineKey,
    /// Its first share.
    pub start_seq: Seq,
    /// Its last share.
    pub last_seq: Seq,
    /// How much.
    pub work: Work,
}

/// A share that was accepted and never recomputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncheckedShare {
    /// Its log position.
    pub seq: Seq,
    /// The minute it was booked to.
    pub minute: Minute,
    /// The nonce.
    pub nonce: Nonce,
    /// What it is worth.
    pub difficulty: Difficulty,
    /// When it was received.
    pub received_at: Timestamp,
    /// Of its template.
    pub merkle_root: String,
}

#[derive(QueryableByName)]
struct SegmentColumns {
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = Text)]
    worker: String,
    #[diesel(sql_type = Binary)]
    origin: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    start_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    work: i64,
}

#[derive(QueryableByName)]
struct Body {
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

#[derive(QueryableByName)]
struct Judged {
    #[diesel(sql_type = BigInt)]
    share_seq: i64,
}

impl Store {
    /// A miner's work on one host in a block's window, the latest first, at most `max` segments.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn window_segments(
        &self,
        block: BlockRowId,
        host: HostId,
        miner: MinerId,
        max: i64,
    ) -> Result<Vec<WorkSegment>> {
        let select = "SELECT m.address, l.worker, l.origin, s.start_seq, s.last_seq, s.work \
                      FROM blocks b JOIN block_windows w ON w.block_id = b.id AND w.host_id = $1 \
                      JOIN lines l ON l.host_id = w.host_id AND l.miner_id = $2 JOIN miners m ON m.id = l.miner_id \
                      JOIN segments s ON s.line_id = l.id AND s.minute >= b.window_start / 60000 \
                      AND s.start_seq <= w.end_seq WHERE b.id = $3 ORDER BY s.start_seq DESC LIMIT $4";
        let rows: Vec<SegmentColumns> = self.rows(select, binds![host.0, miner.0, block.0, max]).await?;
        let read = |row: SegmentColumns| {
            Ok(WorkSegment {
                start_seq: Seq::from_i64(row.start_seq),
                last_seq: Seq::from_i64(row.last_seq),
                work: column::work(row.work, "segment")?,
                line: LineKey {
                    origin: origin_of(&row.origin, &row.address)?,
                    address: row.address,
                    worker: row.worker,
                },
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// The shares of a host's segment that have no verdict, without those that claimed a block.
    ///
    /// # Errors
    /// When the database gives no answer, or a batch is damaged.
    pub async fn unchecked_shares(&self, host: HostId, segment: &WorkSegment) -> Result<Vec<UncheckedShare>> {
        let (first, last) = (segment.start_seq, segment.last_seq);
        let line = segment.line.clone();
        let batches = "SELECT body FROM share_batches WHERE host_id = $1 AND first_seq >= COALESCE(\
                       (SELECT MAX(b.first_seq) FROM share_batches b WHERE b.host_id = $1 AND b.first_seq <= $2), $2) \
                       AND first_seq <= $3 ORDER BY first_seq LIMIT $4";
        let verdicts = "SELECT share_seq FROM verdicts WHERE host_id = $1 AND share_seq >= $2 AND share_seq <= $3";
        let (host, from, to) = (host.0, first.to_i64(), last.to_i64());
        self.run(move |db| async move {
            let (bodies, judged): (Vec<Body>, Vec<Judged>) = snapshot!(db, c => {
                let bodies = c.rows(batches, binds![host, from, to, BATCHES_MAX]).await?;
                (bodies, c.rows(verdicts, binds![host, from, to]).await?)
            })?;
            let judged: std::collections::HashSet<i64> = judged.into_iter().map(|row| row.share_seq).collect();
            let mut found = Vec::new();
            for row in bodies {
                let batch = ShareBatch::decode(&row.body).map_err(|why| StoreError::Damaged {
                    what: format!("a share batch of host {host}"),
                    why: why.to_string(),
                })?;
                let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
                for share in &batch.shares {
                    let is_its = (first..=last).contains(&share.seq) && batch.lines.get(place(share.line)) == Some(&line);
                    if !is_its || share.flags & CLAIMS_BLOCK != 0 || judged.contains(&share.seq.to_i64()) {
                        continue;
                    }
                    let Some(merkle_root) = batch.templates.get(place(share.template)) else { continue };
                    found.push(UncheckedShare {
                        seq: share.seq,
                        minute: share.minute,
                        nonce: share.nonce,
                        difficulty: share.difficulty,
                        received_at: share.received_at,
                        merkle_root: merkle_root.clone(),
                    });
                }
            }
            Ok(found)
        })
        .await
    }
}
