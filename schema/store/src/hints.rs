//! Difficulties that were measured, so that a miner that comes back need not be measured again.
//!
//! Nothing depends on them but comfort: they are written behind, and whatever is lost is measured anew.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Text};
use units::{Difficulty, Timestamp};

use crate::db::txn;
use crate::fold::storable;
use crate::sql::binds;
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

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = Text)]
    worker: String,
    #[diesel(sql_type = Binary)]
    origin: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    difficulty: i64,
    #[diesel(sql_type = BigInt)]
    measured_at: i64,
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
        self.run(move |db| async move {
            txn!(db, conn => {
                let put = format!(
                    "INSERT INTO vardiff_hints (address, worker, origin, difficulty, measured_at) \
                     SELECT value->>0, value->>1, {origin}, CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT) \
                     FROM {rows} WHERE true ON CONFLICT (address, worker) DO UPDATE SET origin = excluded.origin, \
                     difficulty = excluded.difficulty, measured_at = excluded.measured_at \
                     WHERE vardiff_hints.measured_at < excluded.measured_at",
                    origin = conn.bytes_of_hex("value->>2"),
                    rows = conn.json_rows(),
                );
                conn.run(&put, binds![rows]).await?;
            })
        })
        .await
    }

    /// Hints measured at or after `since`, the newest first, at most `limit`.
    ///
    /// # Errors
    /// `Damaged` for a row that is not a hint.
    pub async fn hints_since(&self, since: Timestamp, limit: u32) -> Result<Vec<HintRow>> {
        let select = "SELECT address, worker, origin, difficulty, measured_at FROM vardiff_hints \
                      WHERE measured_at >= $1 ORDER BY measured_at DESC, address, worker LIMIT $2";
        let rows: Vec<Row> = self.rows(select, binds![since.ms(), i64::from(limit)]).await?;
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
        let delete = "DELETE FROM vardiff_hints WHERE measured_at < $1 OR measured_at < (SELECT measured_at \
                      FROM vardiff_hints ORDER BY measured_at DESC LIMIT 1 OFFSET $2)";
        // The last one kept is at this offset; those as old as it stay.
        self.exec(delete, binds![before.ms(), i64::from(keep.saturating_sub(1))]).await
    }
}
