//! Small things that are stored once: salts, the pinned reward address, positions; and hosts' live snapshots.
use diesel::sql_types::BigInt;
use diesel::upsert::excluded;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::Timestamp;

use crate::db::{Conn, on, q, txn};
use crate::schema::{meta, snapshots};
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError};

impl Store {
    /// A stored value.
    pub async fn meta_get(&self, key: &str) -> Result<Option<String>> {
        let key = key.to_owned();
        self.run(|db| async move {
            let value = meta::table.find(key).select(meta::value);
            Ok(q!(db, read, c => value.first(c).await.optional())?)
        })
        .await
    }

    /// Stores a value.
    pub async fn meta_set(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.run(|db| async move { put(&mut db.write().await?.conn(), key, value).await }).await
    }

    /// Stores `value` if there is none yet; returns what is stored.
    pub async fn meta_get_or_insert(&self, key: &str, value: &str) -> Result<String> {
        let stored = meta::table.find(key.to_owned()).select(meta::value);
        let row = (meta::key.eq(key.to_owned()), meta::value.eq(value.to_owned()));
        self.run(|db| async move {
            let insert = diesel::insert_into(meta::table).values(row).on_conflict_do_nothing();
            txn!(db, conn => {
                on!(conn, c => insert.execute(c).await)?;
                on!(conn, c => stored.first(c).await)?
            })
        })
        .await
    }

    /// The next number under this key, from 1. Nobody gets one twice, however many ask at once.
    pub async fn meta_count(&self, key: &str) -> Result<u32> {
        self.meta_count_above(key, 0).await
    }

    /// The same, but above `floor`: what somebody remembers who knows that this database may be an older copy.
    pub async fn meta_count_above(&self, key: &str, floor: u32) -> Result<u32> {
        let (what, key, next) = (format!("counter `{key}`"), key.to_owned(), i64::from(floor) + 1);
        let text = statement!("meta/count_above.sql");
        let counted: Vec<Counted> = self
            .run(move |db| async move { db.write().await?.conn().load_file(text, binds![key, next]).await })
            .await?;
        let number = counted.into_iter().next().map(|row| row.n);
        let damaged = || StoreError::Damaged { what, why: format!("{number:?}") };
        number.and_then(|number| u32::try_from(number).ok()).ok_or_else(damaged)
    }

    /// Stores a host's live snapshot (JSON).
    pub async fn snapshot_put(&self, host: &str, body: &str, at: Timestamp) -> Result<()> {
        let row = (snapshots::host.eq(host.to_owned()), snapshots::body.eq(body.to_owned()), snapshots::at.eq(at.ms()));
        self.run(|db| async move {
            let upsert = diesel::insert_into(snapshots::table)
                .values(row)
                .on_conflict(snapshots::host)
                .do_update()
                .set((snapshots::body.eq(excluded(snapshots::body)), snapshots::at.eq(excluded(snapshots::at))));
            q!(db, write, c => upsert.execute(c).await)?;
            Ok(())
        })
        .await
    }

    /// All hosts' snapshots: host, JSON, time.
    pub async fn snapshot_list(&self) -> Result<Vec<(String, String, Timestamp)>> {
        self.run(|db| async move {
            let all = snapshots::table.order(snapshots::host);
            let rows: Vec<(String, String, i64)> = q!(db, read, c => all.load(c).await)?;
            Ok(rows.into_iter().map(|(host, body, at)| (host, body, Timestamp::from_ms(at))).collect())
        })
        .await
    }
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Stores a value.
pub(crate) async fn put(conn: &mut Conn<'_>, key: String, value: String) -> Result<()> {
    let upsert = diesel::insert_into(meta::table)
        .values((meta::key.eq(key), meta::value.eq(value)))
        .on_conflict(meta::key)
        .do_update()
        .set(meta::value.eq(excluded(meta::value)));
    on!(conn, c => upsert.execute(c).await)?;
    Ok(())
}
