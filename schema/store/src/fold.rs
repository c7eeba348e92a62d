//! From the share log into the tables: one transaction per step, with the log position in it.
use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use units::{HostId, Seq, Timestamp};

use crate::db::{Db, q, txn};
use crate::hosts::settle_step;
use crate::schema::hosts;
use crate::{Result, Store, StoreError, sqlstate};

mod apply;
pub(crate) mod aside;
mod plan;
mod step;

pub(crate) use plan::storable;
pub use step::{
    Aside, AsideRecords, BatchRow, CandidateRow, FoldStep, IdentityKey, ItemRef, NewItem, RejectRow, Retried,
    SegmentDelta, TemplateRow, VerdictRow,
};

impl Store {
    /// How far the host's log is folded.
    ///
    /// # Errors
    /// `Conflict` for a host that was never registered.
    pub async fn host_folded(&self, host: HostId) -> Result<Seq> {
        self.run(move |db| async move {
            let folded = hosts::table.find(host.0).select(hosts::folded_seq);
            let folded: Option<i64> = q!(db, read, c => folded.first(c).await.optional())?;
            folded.map(Seq::from_i64).ok_or_else(|| StoreError::Conflict { what: format!("host {host}") })
        })
        .await
    }

    /// Everything that was durable in the host's log at `at` is folded: `folded` is its last position. Nothing happens
    /// when somebody else has folded on.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_caught_up(&self, host: HostId, folded: Seq, at: Timestamp) -> Result<()> {
        self.run(move |db| async move {
            let there = hosts::table.find(host.0).filter(hosts::folded_seq.eq(folded.to_i64()));
            let earlier = there.filter(hosts::caught_up_at.lt(at.ms()));
            let update = diesel::update(earlier).set(hosts::caught_up_at.eq(at.ms()));
            q!(db, write, c => update.execute(c).await)?;
            Ok(())
        })
        .await
    }

    /// Applies one step: upserts worker identities and templates, adds batch, segments, verdicts, rejects, inserts the
    /// candidate's block row (state `candidate`, window end at `to`, segments closed there), moves the position.
    /// All or nothing.
    ///
    /// A segment continues the identity's last one if that has the same minute and ends after the host's closed position.
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
