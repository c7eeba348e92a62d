//! Difficulties that were measured, so that a miner that comes back need not be measured again.
//!
//! Nothing depends on them but comfort: they are written behind, and whatever is lost is measured anew.
use diesel::{BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl};
use diesel::{Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use units::{Difficulty, Timestamp};

use crate::db::q;
use crate::fold::storable;
use crate::schema::vardiff_hints;
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError, column};

/// The difficulty of a miner's worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintRow {
    /// Payout address.
    pub address: String,
    /// Worker name.
    pub worker: String,
    /// Where it connected from: HMAC of the client's address.
    pub origin: [u8; 16],
    /// The difficulty at which it meets the target.
    pub difficulty: Difficulty,
    /// Its last share.
    pub measured_at: Timestamp,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = vardiff_hints)]
struct Row {
    address: String,
    worker: String,
    origin: Vec<u8>,
    difficulty: i64,
    measured_at: i64,
}

diesel::alias! {
    const KEPT: Alias<HintToKeep> = vardiff_hints as kept;
}

impl Store {
    /// Stores hints. Of two for the same address and worker the newer stays.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn hints_put(&self, hints: &[HintRow]) -> Result<()> {
        if hints.is_empty() {
            return Ok(());
        }
        // The order keeps two hosts from waiting for each other.
        let mut rows: Vec<_> = hints
            .iter()
            .map(|hint| {
                let origin = hex::encode(hint.origin);
                let (address, worker) = (storable(&hint.address), storable(&hint.worker));
                (address, worker, std::cmp::Reverse(hint.measured_at), origin, hint.difficulty.to_i64())
            })
            .collect();
        rows.sort_unstable();
        // One statement may not write a row twice; the newest comes first.
        rows.dedup_by(|next, first| (&next.0, &next.1) == (&first.0, &first.1));
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(address, worker, at, origin, difficulty)| (address, worker, origin, difficulty, at.0.ms()))
            .collect();
        let rows = serde_json::to_string(&rows).expect("numbers and texts are always JSON");
        let text = statement!("hints/put.sql");
        self.run(move |db| async move { db.write().await?.conn().run_file(text, binds![rows]).await }).await?;
        Ok(())
    }

    /// Hints measured at or after `since`, the newest first, at most `limit`.
    ///
    /// # Errors
    /// `Damaged` for a row that is not a hint.
    pub async fn hints_since(&self, since: Timestamp, limit: u32) -> Result<Vec<HintRow>> {
        let newest = vardiff_hints::table
            .filter(vardiff_hints::measured_at.ge(since.ms()))
            .order((vardiff_hints::measured_at.desc(), vardiff_hints::address, vardiff_hints::worker))
            .limit(i64::from(limit));
        let rows: Vec<Row> =
            self.run(|db| async move { Ok(q!(db, read, c => newest.select(Row::as_select()).load(c).await)?) }).await?;
        rows.into_iter()
            .map(|row| {
                let damaged = |_| StoreError::Damaged {
                    what: format!("vardiff_hints of {}", row.address),
                    why: "its origin is not 16 bytes".to_owned(),
                };
                Ok(HintRow {
                    origin: row.origin.as_slice().try_into().map_err(damaged)?,
                    difficulty: column::difficulty(row.difficulty, "vardiff_hints.difficulty")?,
                    measured_at: Timestamp::from_ms(row.measured_at),
                    address: row.address,
                    worker: row.worker,
                })
            })
            .collect()
    }

    /// Removes hints measured before `before`, and the oldest beyond the newest `keep`; returns how many.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn hints_prune(&self, before: Timestamp, keep: u32) -> Result<usize> {
        let measured_at = KEPT.field(vardiff_hints::measured_at);
        // The last one kept is at this offset; those as old as it stay.
        let last_kept =
            KEPT.select(measured_at).order(measured_at.desc()).offset(i64::from(keep.saturating_sub(1))).single_value();
        let is_old = vardiff_hints::measured_at.lt(before.ms());
        let old = vardiff_hints::table.filter(is_old.or(vardiff_hints::measured_at.nullable().lt(last_kept)));
        self.run(|db| async move { Ok(q!(db, write, c => diesel::delete(old).execute(c).await)?) }).await
    }
}
