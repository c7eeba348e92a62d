//! Who sent false shares, as the hosts decided; and who sent true ones, as the verdicts say.
use diesel::query_dsl::methods;
use diesel::sql_types::{BigInt, Binary, Text};
use diesel::upsert::excluded;
use diesel::{ExpressionMethods, Insertable, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use units::{Minute, Timestamp};

use crate::db::{on, q, txn};
use crate::schema::penalties;
use crate::sql::{binds, statement};
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

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = penalties)]
struct Columns {
    address: String,
    origin: Vec<u8>,
    reason: String,
    strikes: i64,
    struck_at: i64,
    forced_until: i64,
    quarantined_until: Option<i64>,
    void_before: Option<i64>,
    ends_at: i64,
}

impl From<&PenaltyRow> for Columns {
    fn from(row: &PenaltyRow) -> Columns {
        Columns {
            address: row.address.clone(),
            origin: row.origin.to_vec(),
            reason: row.reason.clone(),
            strikes: i64::from(row.strikes),
            struck_at: row.struck_at.ms(),
            forced_until: row.forced_until.ms(),
            quarantined_until: row.quarantined_until.map(Timestamp::ms),
            void_before: row.void_before.map(Timestamp::ms),
            ends_at: row.ends_at.ms(),
        }
    }
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
        let rows: Vec<Columns> = penalties.iter().map(Columns::from).collect();
        self.run(move |db| async move {
            txn!(db, conn => {
                for row in rows {
                    let upsert = diesel::insert_into(penalties::table)
                        .values(row)
                        .on_conflict((penalties::address, penalties::origin))
                        .do_update()
                        .set((
                            penalties::reason.eq(excluded(penalties::reason)),
                            penalties::strikes.eq(excluded(penalties::strikes)),
                            penalties::struck_at.eq(excluded(penalties::struck_at)),
                            penalties::forced_until.eq(excluded(penalties::forced_until)),
                            penalties::quarantined_until.eq(excluded(penalties::quarantined_until)),
                            penalties::void_before.eq(excluded(penalties::void_before)),
                            penalties::ends_at.eq(excluded(penalties::ends_at)),
                        ));
                    let upsert = methods::FilterDsl::filter(upsert, penalties::struck_at.le(excluded(penalties::struck_at)));
                    on!(conn, c => upsert.execute(c).await)?;
                }
                conn.run_file(statement!("penalties/prune.sql"), binds![now.ms(), ROWS_MAX]).await?;
            })
        })
        .await
    }

    /// Penalties that are not forgiven at `now`, the latest end first.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn penalties_list(&self, now: Timestamp) -> Result<Vec<PenaltyRow>> {
        let standing = penalties::table
            .filter(penalties::ends_at.gt(now.ms()))
            .order((penalties::ends_at.desc(), penalties::address, penalties::origin))
            .limit(ROWS_MAX);
        let rows: Vec<Columns> = self
            .run(|db| async move { Ok(q!(db, read, c => standing.select(Columns::as_select()).load(c).await)?) })
            .await?;
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
        let binds = binds![i64::from(since.0), max];
        let rows: Vec<ProvenColumns> = self.load_file(statement!("penalties/proven.sql"), binds).await?;
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
