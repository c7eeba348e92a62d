//! Who sent false shares, as the hosts decided; and who sent true ones, as the verdicts say.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use units::{Minute, Timestamp};

use crate::db::txn;
use crate::sql::binds;
use crate::{Result, Store, StoreError};

/// Rows kept and read, whatever the hosts decide. Those that end first go first.
const ROWS_MAX: i64 = 16_384;

/// One penalized pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PenaltyRow {
    /// Payout address.
    pub address: String,
    /// HMAC of the client's address.
    pub origin: [u8; 16],
    /// What for.
    pub reason: String,
    /// False shares that count together.
    pub strikes: u32,
    /// When the last of them was found.
    pub struck_at: Timestamp,
    /// Every share is proven before it is acknowledged until then.
    pub forced_until: Timestamp,
    /// Every share is refused until then.
    pub quarantined_until: Option<Timestamp>,
    /// Its uncredited work from before then is still to be voided.
    pub void_before: Option<Timestamp>,
    /// When all is forgiven.
    pub ends_at: Timestamp,
}

/// A pair whose recomputed shares were all true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenPair {
    /// Payout address.
    pub address: String,
    /// HMAC of the client's address.
    pub origin: [u8; 16],
    /// How many.
    pub verified: u64,
    /// The last minute with one.
    pub last: Minute,
}

#[derive(QueryableByName)]
struct Columns {
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = Binary)]
    origin: Vec<u8>,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = BigInt)]
    strikes: i64,
    #[diesel(sql_type = BigInt)]
    struck_at: i64,
    #[diesel(sql_type = BigInt)]
    forced_until: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    quarantined_until: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    void_before: Option<i64>,
    #[diesel(sql_type = BigInt)]
    ends_at: i64,
}

#[derive(QueryableByName)]
struct ProvenColumns {
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = Binary)]
    origin: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    verified: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

pub(crate) fn origin_of(bytes: &[u8], address: &str) -> Result<[u8; 16]> {
    <[u8; 16]>::try_from(bytes).map_err(|_| StoreError::Damaged {
        what: format!("origin of {address}"),
        why: format!("it has {} bytes", bytes.len()),
    })
}

impl Store {
    /// Stores penalties and forgets those that are forgiven at `now`. Of two rows of one pair the later strike counts.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn penalties_put(&self, penalties: &[PenaltyRow], now: Timestamp) -> Result<()> {
        let penalties = penalties.to_vec();
        let upsert = "INSERT INTO penalties \
                      (address, origin, reason, strikes, struck_at, forced_until, quarantined_until, void_before, \
                      ends_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (address, origin) DO UPDATE SET \
                      reason = excluded.reason, strikes = excluded.strikes, struck_at = excluded.struck_at, \
                      forced_until = excluded.forced_until, quarantined_until = excluded.quarantined_until, \
                      void_before = excluded.void_before, ends_at = excluded.ends_at WHERE penalties.struck_at <= excluded.struck_at";
        let over = "DELETE FROM penalties WHERE ends_at <= $1 OR ends_at < \
                    (SELECT MIN(ends_at) FROM (SELECT ends_at FROM penalties ORDER BY ends_at DESC LIMIT $2) AS kept)";
        self.run(move |db| async move {
            txn!(db, conn => {
                for row in penalties {
                    let binds = binds![
                        row.address,
                        row.origin.to_vec(),
                        row.reason,
                        i64::from(row.strikes),
                        row.struck_at.ms(),
                        row.forced_until.ms(),
                        row.quarantined_until.map(Timestamp::ms),
                        row.void_before.map(Timestamp::ms),
                        row.ends_at.ms(),
                    ];
                    conn.run(upsert, binds).await?;
                }
                conn.run(over, binds![now.ms(), ROWS_MAX]).await?;
            })
        })
        .await
    }

    /// Penalties that are not forgiven at `now`, the latest end first.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn penalties_list(&self, now: Timestamp) -> Result<Vec<PenaltyRow>> {
        let select = "SELECT address, origin, reason, strikes, struck_at, forced_until, quarantined_until, \
                      void_before, ends_at \
                      FROM penalties WHERE ends_at > $1 ORDER BY ends_at DESC, address, origin LIMIT $2";
        let rows: Vec<Columns> = self.rows(select, binds![now.ms(), ROWS_MAX]).await?;
        let read = |row: Columns| {
            Ok(PenaltyRow {
                origin: origin_of(&row.origin, &row.address)?,
                address: row.address,
                reason: row.reason,
                strikes: u32::try_from(row.strikes).unwrap_or(u32::MAX),
                struck_at: Timestamp::from_ms(row.struck_at),
                forced_until: Timestamp::from_ms(row.forced_until),
                quarantined_until: row.quarantined_until.map(Timestamp::from_ms),
                void_before: row.void_before.map(Timestamp::from_ms),
                ends_at: Timestamp::from_ms(row.ends_at),
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Pairs with verified shares and no false one since that minute, on whatever host; those with most first, at most
    /// `max` of them.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn proven_pairs(&self, since: Minute, max: i64) -> Result<Vec<ProvenPair>> {
        let select = "SELECT m.address, l.origin, COUNT(*) AS verified, CAST(MAX(v.minute) AS BIGINT) AS last \
                      FROM verdicts v JOIN worker_identities l ON l.id = v.identity_id JOIN miners m ON m.id = l.miner_id \
                      WHERE v.minute >= $1 GROUP BY m.address, l.origin \
                      HAVING SUM(CASE WHEN v.verdict = 'verified' THEN 0 ELSE 1 END) = 0 \
                      ORDER BY verified DESC, m.address, l.origin LIMIT $2";
        let rows: Vec<ProvenColumns> = self.rows(select, binds![i64::from(since.0), max]).await?;
        let read = |row: ProvenColumns| {
            Ok(ProvenPair {
                origin: origin_of(&row.origin, &row.address)?,
                address: row.address,
                verified: u64::try_from(row.verified).unwrap_or(0),
                last: Minute(u32::try_from(row.last).unwrap_or(0)),
            })
        };
        rows.into_iter().map(read).collect()
    }
}
