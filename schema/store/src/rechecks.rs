//! Stored shares that nobody has judged, for a check after the fact; and what a cheater loses.
use chain::Address;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Text};
use units::{BlockRowId, Difficulty, HostId, MinerId, Minute, Nonce, Seq, Timestamp, Work};

use crate::batch::ShareBatch;
use crate::db::snapshot;
use crate::fold::IdentityKey;
use crate::penalties::origin_of;
use crate::sql::binds;
use crate::{Result, Store, StoreError, column};

/// Flag of a share that claimed to be a block: those are all checked, in their own way.
const CLAIMS_BLOCK: u8 = 2;
/// Batches read for one segment: it is a minute, and a batch about a second.
const BATCHES_MAX: i64 = 256;

/// Accepted work of one line in one minute or less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkSegment {
    /// Whose.
    pub line: IdentityKey,
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

/// A share with a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedShare {
    /// Whose.
    pub line: IdentityKey,
    /// Its log position.
    pub seq: Seq,
    /// The minute it was booked to.
    pub minute: Minute,
    /// What it is worth.
    pub difficulty: Difficulty,
}

#[derive(QueryableByName)]
struct JudgedColumns {
    #[diesel(sql_type = Text)]
    worker: String,
    #[diesel(sql_type = BigInt)]
    share_seq: i64,
    #[diesel(sql_type = BigInt)]
    minute: i64,
    #[diesel(sql_type = BigInt)]
    difficulty: i64,
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

impl TryFrom<SegmentColumns> for WorkSegment {
    type Error = StoreError;

    fn try_from(row: SegmentColumns) -> Result<WorkSegment> {
        Ok(WorkSegment {
            start_seq: Seq::from_i64(row.start_seq),
            last_seq: Seq::from_i64(row.last_seq),
            work: column::work(row.work, "segment")?,
            line: IdentityKey {
                origin: origin_of(&row.origin, &row.address)?,
                address: row.address,
                worker: row.worker,
            },
        })
    }
}

/// A batch may still have the legacy text of the address.
fn is_same_line(logged: &IdentityKey, line: &IdentityKey) -> bool {
    logged.origin == line.origin
        && logged.worker == line.worker
        && Address::is_same_account(&logged.address, &line.address)
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
                      JOIN worker_identities l ON l.host_id = w.host_id AND l.miner_id = $2 JOIN miners m ON m.id = l.miner_id \
                      JOIN segments s ON s.identity_id = l.id AND s.minute >= b.window_start / 60000 \
                      AND s.start_seq <= w.end_seq WHERE b.id = $3 ORDER BY s.start_seq DESC LIMIT $4";
        let rows: Vec<SegmentColumns> = self.rows(select, binds![host.0, miner.0, block.0, max]).await?;
        rows.into_iter().map(WorkSegment::try_from).collect()
    }

    /// A pair's work on one host since a minute and behind a position, the earliest first, at most `max` segments.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn pair_segments(
        &self,
        host: HostId,
        (address, origin): (&str, [u8; 16]),
        since: Minute,
        after: Seq,
        max: i64,
    ) -> Result<Vec<WorkSegment>> {
        let select = "SELECT m.address, l.worker, l.origin, s.start_seq, s.last_seq, s.work \
                      FROM miners m JOIN worker_identities l ON l.miner_id = m.id AND l.host_id = $1 AND l.origin = $2 \
                      JOIN segments s ON s.identity_id = l.id AND s.minute >= $3 \
                      WHERE m.address = $4 AND s.start_seq > $5 ORDER BY s.start_seq LIMIT $6";
        let binds = binds![host.0, origin.to_vec(), i64::from(since.0), address, after.to_i64(), max];
        let rows: Vec<SegmentColumns> = self.rows(select, binds).await?;
        rows.into_iter().map(WorkSegment::try_from).collect()
    }

    /// A pair's verified shares on one host since a minute, the latest first, at most `max`.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn pair_verified(
        &self,
        host: HostId,
        (address, origin): (&str, [u8; 16]),
        since: Minute,
        max: i64,
    ) -> Result<Vec<JudgedShare>> {
        let select = "SELECT l.worker, v.share_seq, v.minute, v.difficulty \
                      FROM miners m JOIN worker_identities l ON l.miner_id = m.id AND l.host_id = $1 AND l.origin = $2 \
                      JOIN verdicts v ON v.identity_id = l.id AND v.host_id = $1 AND v.minute >= $3 \
                      WHERE m.address = $4 AND v.verdict = 'verified' ORDER BY v.share_seq DESC LIMIT $5";
        let binds = binds![host.0, origin.to_vec(), i64::from(since.0), address, max];
        let rows: Vec<JudgedColumns> = self.rows(select, binds).await?;
        let read = |row: JudgedColumns| {
            Ok(JudgedShare {
                line: IdentityKey { address: address.to_owned(), worker: row.worker, origin },
                seq: Seq::from_i64(row.share_seq),
                minute: Minute(u32::try_from(row.minute).unwrap_or(0)),
                difficulty: column::difficulty(row.difficulty, "verdict")?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// The start of the earliest window whose block is not weighed yet.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn unweighed_since(&self) -> Result<Option<Timestamp>> {
        let select = "SELECT MIN(window_start) AS n FROM blocks WHERE weights_digest IS NULL AND state <> 'lost'";
        Ok(self.number(select, binds![]).await?.map(Timestamp::from_ms))
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
                    let is_its = (first..=last).contains(&share.seq)
                        && batch.lines.get(place(share.line)).is_some_and(|logged| is_same_line(logged, &line));
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
