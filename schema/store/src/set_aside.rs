//! What was set aside, as the fold, the audit and an operator see it. It is written by [`Store::fold`].
use diesel::dsl::{max, min};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, JoinOnDsl, OptionalExtension, QueryDsl, Queryable,
    QueryableByName, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;
use units::{HostId, Minute, Seq, Timestamp};

use crate::db::{Conn, on, q, snapshot};
use crate::fold::aside::unpack;
use crate::schema::{set_aside, set_aside_records};
use crate::sql::{binds, statement};
use crate::{Result, Store};

/// What the fold of one host needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AsideState {
    /// What has records that are not in the log again, oldest first.
    pub items: Vec<OpenItem>,
    /// Between which positions lie records that are to be in the log again, or are.
    pub released: Option<(Seq, Seq)>,
}

/// See [`AsideState::items`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenItem {
    /// Its number.
    pub id: i64,
    /// As in [`crate::fold::NewItem::kind`].
    pub kind: String,
    /// Position of the record that failed.
    pub seq: Seq,
    /// The definition as the log has it.
    pub definition: Vec<u8>,
    /// What the database said.
    pub why: String,
    /// Records that are not in the log again.
    pub records: u64,
    /// Whether an operator asked for another try.
    pub is_released: bool,
}

/// Records of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsideRow {
    /// Its number.
    pub id: i64,
    /// Whose records.
    pub item: i64,
    /// First and last position.
    pub first: Seq,
    /// See `first`.
    pub last: Seq,
    /// How many.
    pub records: u64,
    /// The records with their positions, and what they refer to.
    pub body: Vec<u8>,
    /// Where the first one is in the log again, and the minute that its shares are booked to.
    pub retried: Option<(Seq, Minute)>,
}

/// An item, for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsideItem {
    /// Its number.
    pub id: i64,
    /// Whose log.
    pub host: String,
    /// As in [`crate::fold::NewItem::kind`].
    pub kind: String,
    /// Position of the record that failed.
    pub seq: Seq,
    /// Records that are not in the log again.
    pub records: u64,
    /// What the database said.
    pub why: String,
    /// When.
    pub set_aside_at: Timestamp,
    /// When an operator asked for another try.
    pub retry_at: Option<Timestamp>,
}

#[derive(QueryableByName)]
struct ItemColumns {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    host: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Binary)]
    definition: Vec<u8>,
    #[diesel(sql_type = Text)]
    why: String,
    #[diesel(sql_type = BigInt)]
    set_aside_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    retry_at: Option<i64>,
    #[diesel(sql_type = BigInt)]
    records: i64,
}

/// Of a host, or of all (0).
async fn items(c: &mut Conn<'_>, host: i64) -> Result<Vec<ItemColumns>> {
    c.load_file(statement!("set_aside/items.sql"), binds![host]).await
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = set_aside_records)]
struct RowColumns {
    id: i64,
    item_id: i64,
    first_seq: i64,
    last_seq: i64,
    records: i64,
    body: Vec<u8>,
    retried_seq: Option<i64>,
    retried_minute: Option<i64>,
}

impl RowColumns {
    fn row(self) -> Result<AsideRow> {
        let minute = u32::try_from(self.retried_minute.unwrap_or(0)).unwrap_or(0);
        Ok(AsideRow {
            id: self.id,
            item: self.item_id,
            first: Seq::from_i64(self.first_seq),
            last: Seq::from_i64(self.last_seq),
            records: u64::try_from(self.records).unwrap_or(0),
            body: unpack(self.id, &self.body)?,
            retried: self.retried_seq.map(|seq| (Seq::from_i64(seq), Minute(minute))),
        })
    }
}

fn rows(columns: Vec<RowColumns>) -> Result<Vec<AsideRow>> {
    columns.into_iter().map(RowColumns::row).collect()
}

impl Store {
    /// What the fold of a host needs to know.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn set_aside_state(&self, host: HostId) -> Result<AsideState> {
        let (items, bounds) = self
            .run(move |db| async move {
                let records = set_aside_records::table
                    .inner_join(set_aside::table.on(set_aside::id.eq(set_aside_records::item_id)))
                    .filter(set_aside::host_id.eq(host.0))
                    .filter(set_aside::retry_at.is_not_null())
                    .select((min(set_aside_records::first_seq), max(set_aside_records::last_seq)));
                snapshot!(db, conn => {
                    let items = items(conn, host.0).await?;
                    let bounds: (Option<i64>, Option<i64>) = on!(conn, c => records.first(c).await)?;
                    (items, bounds)
                })
            })
            .await?;
        let released = bounds.0.zip(bounds.1);
        let item = |item: ItemColumns| OpenItem {
            id: item.id,
            kind: item.kind,
            seq: Seq::from_i64(item.seq),
            definition: item.definition,
            why: item.why,
            records: u64::try_from(item.records).unwrap_or(0),
            is_released: item.retry_at.is_some(),
        };
        Ok(AsideState {
            items: items.into_iter().map(item).collect(),
            released: released.map(|(first, last)| (Seq::from_i64(first), Seq::from_i64(last))),
        })
    }

    /// All items of all hosts that have records which are not in the log again, oldest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn set_aside_list(&self) -> Result<Vec<AsideItem>> {
        let items = self.run(|db| async move { items(&mut db.read().await?.conn(), 0).await }).await?;
        let item = |item: ItemColumns| AsideItem {
            id: item.id,
            host: item.host,
            kind: item.kind,
            seq: Seq::from_i64(item.seq),
            records: u64::try_from(item.records).unwrap_or(0),
            why: item.why,
            set_aside_at: Timestamp::from_ms(item.set_aside_at),
            retry_at: item.retry_at.map(Timestamp::from_ms),
        };
        Ok(items.into_iter().map(item).collect())
    }

    /// Asks for another try with an item, or with all; how many were not asked for before. The host that owns the log
    /// appends the records.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn set_aside_retry(&self, item: Option<i64>, at: Timestamp) -> Result<usize> {
        self.run(move |db| async move {
            let item = item.unwrap_or(0);
            let is_meant = set_aside::id.eq(item).or(item.into_sql::<BigInt>().eq(0));
            let waiting = set_aside::table.filter(set_aside::retry_at.is_null()).filter(is_meant);
            let update = diesel::update(waiting).set(set_aside::retry_at.eq(at.ms()));
            Ok(q!(db, write, c => update.execute(c).await)?)
        })
        .await
    }

    /// The records that are to be appended to the host's log next.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn set_aside_next(&self, host: HostId) -> Result<Option<AsideRow>> {
        self.run(move |db| async move {
            let next = set_aside_records::table
                .inner_join(set_aside::table.on(set_aside::id.eq(set_aside_records::item_id)))
                .filter(set_aside_records::host_id.eq(host.0))
                .filter(set_aside_records::retried_seq.is_null())
                .filter(set_aside::retry_at.is_not_null())
                .order(set_aside_records::id);
            let row: Option<RowColumns> =
                q!(db, read, c => next.select(RowColumns::as_select()).first(c).await.optional())?;
            row.map(RowColumns::row).transpose()
        })
        .await
    }

    /// Some records that were set aside.
    ///
    /// # Errors
    /// When the database gives no answer, or the row is damaged.
    pub async fn set_aside_row(&self, host: HostId, row: i64) -> Result<Option<AsideRow>> {
        self.run(move |db| async move {
            let row = set_aside_records::table.find(row).filter(set_aside_records::host_id.eq(host.0));
            let row: Option<RowColumns> =
                q!(db, read, c => row.select(RowColumns::as_select()).first(c).await.optional())?;
            row.map(RowColumns::row).transpose()
        })
        .await
    }

    /// Records around a position that are to be in the log again, or are.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn set_aside_around(&self, host: HostId, seq: Seq) -> Result<Vec<AsideRow>> {
        self.run(move |db| async move {
            let around = set_aside_records::table
                .inner_join(set_aside::table.on(set_aside::id.eq(set_aside_records::item_id)))
                .filter(set_aside_records::host_id.eq(host.0))
                .filter(set_aside_records::first_seq.le(seq.to_i64()))
                .filter(set_aside_records::last_seq.ge(seq.to_i64()))
                .filter(set_aside::retry_at.is_not_null())
                .order(set_aside_records::id);
            rows(q!(db, read, c => around.select(RowColumns::as_select()).load(c).await)?)
        })
        .await
    }

    /// All rows of a host with a number above `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn set_aside_rows(&self, host: HostId, after: i64, limit: u32) -> Result<Vec<AsideRow>> {
        self.run(move |db| async move {
            let page = set_aside_records::table
                .filter(set_aside_records::host_id.eq(host.0))
                .filter(set_aside_records::id.gt(after))
                .order(set_aside_records::id)
                .limit(i64::from(limit));
            rows(q!(db, read, c => page.select(RowColumns::as_select()).load(c).await)?)
        })
        .await
    }
}
