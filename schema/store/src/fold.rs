//! From the share log into the tables: one transaction per step, with the log position in it.
use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error};
use units::{Amount, Difficulty, Height, HostId, Minute, PolicyId, Seq, Timestamp, Work};

use crate::db::{Db, txn};
use crate::hosts::settle_step;
use crate::sql::binds;
use crate::{Result, Store, StoreError, sqlstate};

mod apply;
pub(crate) mod aside;
mod plan;

pub use aside::{Aside, AsideRecords, ItemRef, NewItem, Retried};
pub(crate) use plan::storable;

/// A line as the log defines it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdentityKey {
    /// Payout address.
    pub address: String,
    /// Worker name.
    pub worker: String,
    /// HMAC of the client's address.
    pub origin: [u8; 16],
}

/// A template as the log defines it.
#[derive(Debug, Clone)]
pub struct TemplateRow {
    /// 64 hex digits; unique.
    pub merkle_root: String,
    /// Height of the block it would make.
    pub height: Height,
    /// 64 hex digits.
    pub prev_hash: String,
    /// 92 bytes.
    pub header_base: Vec<u8>,
    /// Network difficulty.
    pub difficulty: Difficulty,
    /// What the block pays.
    pub reward: Amount,
    /// When it became current.
    pub seen_at: Timestamp,
}

/// Accepted work of one line in one minute of this step.
#[derive(Debug, Clone)]
pub struct SegmentDelta {
    /// Index into [`FoldStep::lines`].
    pub line: usize,
    /// The minute its shares were booked to.
    pub minute: Minute,
    /// Its first share.
    pub start_seq: Seq,
    /// Its last share.
    pub last_seq: Seq,
    /// How many.
    pub shares: u64,
    /// Their difficulties' sum.
    pub work: Work,
    /// Receive time of the first and the last.
    pub first_at: Timestamp,
    /// See `first_at`.
    pub last_at: Timestamp,
}

/// A verdict of this step.
#[derive(Debug, Clone)]
pub struct VerdictRow {
    /// Index into [`FoldStep::lines`].
    pub line: usize,
    /// The share.
    pub share_seq: Seq,
    /// The minute the share was booked to.
    pub minute: Minute,
    /// What the share is worth.
    pub difficulty: Difficulty,
    /// `verified`, `rejected` or `voided`.
    pub verdict: &'static str,
    /// The verdict's own position.
    pub seq: Seq,
}

/// Counted rejects of this step.
#[derive(Debug, Clone)]
pub struct RejectRow {
    /// Index into [`FoldStep::lines`].
    pub line: usize,
    /// When.
    pub minute: Minute,
    /// Canonical reason.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// A candidate; it is the last record of its step, so that the window ends exactly there.
#[derive(Debug, Clone)]
pub struct CandidateRow {
    /// Index into [`FoldStep::lines`].
    pub line: usize,
    /// Index into [`FoldStep::templates`].
    pub template: usize,
    /// 64 hex digits.
    pub hash: String,
    /// The nonce.
    pub nonce: i64,
    /// The share's position; zero when the database does not have that share, and so no finder.
    pub share_seq: Seq,
    /// When the share was received.
    pub found_at: Timestamp,
    /// Shares before it are booked to minutes before this. Where that is earlier than the find, since the clock had leapt
    /// ahead and is not trusted yet, the window begins its length before this instead.
    pub booked_until: Timestamp,
}

/// An encoded share batch; see [`crate::batch`].
#[derive(Debug, Clone)]
pub struct BatchRow {
    /// First and last position.
    pub first_seq: Seq,
    /// See `first_seq`.
    pub last_seq: Seq,
    /// How many shares.
    pub shares: u64,
    /// Their work.
    pub work: Work,
    /// Receive time of the first and the last.
    pub first_at: Timestamp,
    /// See `first_at`.
    pub last_at: Timestamp,
    /// SHA-256 of the unencoded shares.
    pub digest: [u8; 32],
    /// Encoded.
    pub body: Vec<u8>,
}

/// The records of one host after `from` up to and including `to`.
#[derive(Debug, Clone)]
pub struct FoldStep {
    /// Whose log.
    pub host: HostId,
    /// The position that the database must have; another one means that somebody else folds.
    pub from: Seq,
    /// The position after this step.
    pub to: Seq,
    /// Every line that the rest refers to.
    pub lines: Vec<IdentityKey>,
    /// Templates that were defined or are referred to.
    pub templates: Vec<TemplateRow>,
    /// The shares; `None` when there are none. Its body refers to lines by their place in `lines` and to
    /// templates by their merkle root: see [`crate::batch`].
    pub batch: Option<BatchRow>,
    /// In order of `start_seq`.
    pub segments: Vec<SegmentDelta>,
    /// In order of `seq`.
    pub verdicts: Vec<VerdictRow>,
    /// Rejects.
    pub rejects: Vec<RejectRow>,
    /// Ends the step.
    pub candidate: Option<CandidateRow>,
    /// What the database refuses, or refused.
    pub aside: Aside,
    /// In force when this was logged: prices the blocks that are made of the step's templates.
    pub policy: PolicyId,
    /// Length of the payout window where a policy does not say it.
    pub window: std::time::Duration,
    /// Now.
    pub at: Timestamp,
}

impl Store {
    /// How far the host's log is folded.
    ///
    /// # Errors
    /// `Conflict` for a host that was never registered.
    pub async fn host_folded(&self, host: HostId) -> Result<Seq> {
        let folded = self.number("SELECT folded_seq AS n FROM hosts WHERE id = $1", binds![host.0]).await?;
        folded.map(Seq::from_i64).ok_or_else(|| StoreError::Conflict { what: format!("host {host}") })
    }

    /// Everything that was durable in the host's log at `at` is folded: `folded` is its last position. Nothing happens
    /// when somebody else has folded on.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_caught_up(&self, host: HostId, folded: Seq, at: Timestamp) -> Result<()> {
        let update = "UPDATE hosts SET caught_up_at = $1 WHERE id = $2 AND folded_seq = $3 AND caught_up_at < $1";
        self.exec(update, binds![at.ms(), host.0, folded.to_i64()]).await?;
        Ok(())
    }

    /// Applies one step: upserts lines and templates, adds batch, segments, verdicts, rejects, inserts the
    /// candidate's block row (state `candidate`, window end at `to`, segments closed there), moves the position.
    /// All or nothing.
    ///
    /// A segment continues the line's last one if that has the same minute and ends after the host's closed position.
    /// A candidate whose block is already there fills in the finder if none is known, and changes nothing else.
    /// Of several verdicts on one share the first counts, but `voided` replaces any other.
    ///
    /// # Errors
    /// `Conflict` when the position is not `from`; `Damaged` for a step that contradicts itself; `Refused` for data that
    /// the database would refuse again.
    pub async fn fold(&self, step: FoldStep) -> Result<()> {
        let step = Arc::new(step);
        match self.fold_once(Arc::clone(&step)).await {
            // Nothing was written. What it was about costs a second try, so only failures are asked.
            Err(StoreError::Query(Error::DatabaseError(kind, _))) if may_be_data(&kind) => {
                self.run(|db| sqlstate::asking(apply_in_txn(db, step))).await
            }
            outcome => outcome,
        }
    }

    async fn fold_once(&self, step: Arc<FoldStep>) -> Result<()> {
        self.run(|db| apply_in_txn(db, step)).await
    }
}

async fn apply_in_txn(db: Db, step: Arc<FoldStep>) -> Result<()> {
    let written = plan::Written::of(&step)?;
    txn!(db, conn => {
        let step = settle_step(conn, step).await?;
        apply::step(conn, &step, &written).await?
    })
}

fn may_be_data(kind: &DatabaseErrorKind) -> bool {
    matches!(kind, DatabaseErrorKind::CheckViolation | DatabaseErrorKind::Unknown)
}
