//! Stored shares that nobody has judged, for a check after the fact; and what a cheater loses.
use std::collections::HashSet;

use chain::Address;
use diesel::dsl::{max, min};
use diesel::sql_types::{Binary, Text};
use diesel::{ExpressionMethods, JoinOnDsl, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use units::{BlockRowId, Difficulty, HostId, MinerId, Minute, Nonce, Seq, Timestamp, Work};

use crate::batch::ShareBatch;
use crate::blocks::BlockState;
use crate::db::{Conn, on, q, snapshot};
use crate::fold::IdentityKey;
use crate::penalties::origin_of;
use crate::schema::{blocks, miners, segments, share_batches, verdicts, worker_identities};
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError, column};

/// Flag of a share that claimed to be a block: those are all checked, in their own way.
const CLAIMS_BLOCK: u8 = 2;
/// `verdicts.verdict` of a share whose hash is as claimed.
const VERIFIED: &str = "verified";
/// Batches read for one segment: it is a minute, and a batch about a second.
const BATCHES_MAX: i64 = 256;

/// Accepted work of one worker identity in one minute or less.
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

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = segments)]
struct SegmentColumns {
    #[diesel(select_expression = miners::address, sql_type = Text)]
    address: String,
    #[diesel(select_expression = worker_identities::worker, sql_type = Text)]
    worker: String,
    #[diesel(select_expression = worker_identities::origin, sql_type = Binary)]
    origin: Vec<u8>,
    start_seq: i64,
    last_seq: i64,
    work: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = verdicts)]
struct JudgedColumns {
    #[diesel(select_expression = worker_identities::worker)]
    worker: String,
    share_seq: i64,
    minute: i64,
    difficulty: i64,
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
fn is_same_identity(logged: &IdentityKey, identity: &IdentityKey) -> bool {
    logged.origin == identity.origin
        && logged.worker == identity.worker
        && Address::is_same_account(&logged.address, &identity.address)
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
        let text = statement!("rechecks/window_segments.sql");
        let rows: Vec<SegmentColumns> = self.load_file(text, binds![host.0, miner.0, block.0, max]).await?;
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
        let earliest = segments::table
            .inner_join(worker_identities::table)
            .inner_join(miners::table.on(miners::id.eq(worker_identities::miner_id)))
            .filter(miners::address.eq(address.to_owned()))
            .filter(worker_identities::host_id.eq(host.0))
            .filter(worker_identities::origin.eq(origin.to_vec()))
            .filter(segments::minute.ge(i64::from(since.0)))
            .filter(segments::start_seq.gt(after.to_i64()))
            .order(segments::start_seq)
            .limit(max);
        let rows: Vec<SegmentColumns> = self
            .run(|db| async move { Ok(q!(db, read, c => earliest.select(SegmentColumns::as_select()).load(c).await)?) })
            .await?;
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
        let latest = verdicts::table
            .inner_join(worker_identities::table)
            .inner_join(miners::table.on(miners::id.eq(worker_identities::miner_id)))
            .filter(miners::address.eq(address.to_owned()))
            .filter(worker_identities::host_id.eq(host.0))
            .filter(worker_identities::origin.eq(origin.to_vec()))
            .filter(verdicts::host_id.eq(host.0))
            .filter(verdicts::minute.ge(i64::from(since.0)))
            .filter(verdicts::verdict.eq(VERIFIED))
            .order(verdicts::share_seq.desc())
            .limit(max);
        let rows: Vec<JudgedColumns> = self
            .run(|db| async move { Ok(q!(db, read, c => latest.select(JudgedColumns::as_select()).load(c).await)?) })
            .await?;
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
        let earliest = blocks::table
            .filter(blocks::weights_digest.is_null())
            .filter(blocks::state.ne(BlockState::Lost.as_str()))
            .select(min(blocks::window_start));
        let start: Option<i64> =
            self.run(|db| async move { Ok(q!(db, read, c => earliest.get_result(c).await)?) }).await?;
        Ok(start.map(Timestamp::from_ms))
    }

    /// The shares of a host's segment that have no verdict, without those that claimed a block.
    ///
    /// # Errors
    /// When the database gives no answer, or a batch is damaged.
    pub async fn unchecked_shares(&self, host: HostId, segment: &WorkSegment) -> Result<Vec<UncheckedShare>> {
        let (first, last) = (segment.start_seq, segment.last_seq);
        let identity = segment.line.clone();
        let (host, from, to) = (host.0, first.to_i64(), last.to_i64());
        self.run(move |db| async move {
            let (bodies, judged) = snapshot!(db, conn => {
                (bodies(conn, host, from, to).await?, judged_positions(conn, host, from, to).await?)
            })?;
            let mut found = Vec::new();
            for body in bodies {
                let batch = ShareBatch::decode(&body).map_err(|why| StoreError::Damaged {
                    what: format!("a share batch of host {host}"),
                    why: why.to_string(),
                })?;
                let index = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
                for share in &batch.shares {
                    let is_its = (first..=last).contains(&share.seq)
                        && batch.lines.get(index(share.line)).is_some_and(|logged| is_same_identity(logged, &identity));
                    if !is_its || share.flags & CLAIMS_BLOCK != 0 || judged.contains(&share.seq.to_i64()) {
                        continue;
                    }
                    let Some(merkle_root) = batch.templates.get(index(share.template)) else { continue };
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

/// The share batches of a host that may hold positions from `from` to `to`.
async fn bodies(conn: &mut Conn<'_>, host: i64, from: i64, to: i64) -> Result<Vec<Vec<u8>>> {
    let of_host = share_batches::table.filter(share_batches::host_id.eq(host));
    let begin = of_host.filter(share_batches::first_seq.le(from)).select(max(share_batches::first_seq));
    let begin: Option<i64> = on!(conn, c => begin.get_result(c).await)?;
    let bodies = of_host
        .filter(share_batches::first_seq.between(begin.unwrap_or(from), to))
        .order(share_batches::first_seq)
        .select(share_batches::body)
        .limit(BATCHES_MAX);
    Ok(on!(conn, c => bodies.load(c).await)?)
}

/// Positions of a host's shares with a verdict.
async fn judged_positions(conn: &mut Conn<'_>, host: i64, from: i64, to: i64) -> Result<HashSet<i64>> {
    let judged = verdicts::table
        .filter(verdicts::host_id.eq(host))
        .filter(verdicts::share_seq.between(from, to))
        .select(verdicts::share_seq);
    let judged: Vec<i64> = on!(conn, c => judged.load(c).await)?;
    Ok(judged.into_iter().collect())
}
