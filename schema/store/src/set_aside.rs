//! What was set aside, as the fold, the audit and an operator see it. It is written by [`Store::fold`].
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use units::{HostId, Minute, Seq, Timestamp};

use crate::fold::aside::unpack;
use crate::sql::binds;
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

/// Those that have records which are not in the log again; `$1` is a host, or 0 for all.
const ITEMS: &str = "SELECT s.id, h.name AS host, s.kind, s.seq, s.definition, s.why, s.set_aside_at, s.retry_at, \
    CAST(r.records AS BIGINT) AS records FROM set_aside s JOIN hosts h ON h.id = s.host_id \
    JOIN (SELECT item_id, SUM(records) AS records FROM set_aside_records WHERE retried_seq IS NULL \
    GROUP BY item_id) AS r ON r.item_id = s.id WHERE s.host_id = $1 OR $1 = 0 ORDER BY s.id";

#[derive(QueryableByName)]
struct RowColumns {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    item_id: i64,
    #[diesel(sql_type = BigInt)]
    first_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    records: i64,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
    #[diesel(sql_type = Nullable<BigInt>)]
    retried_seq: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
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
        #[derive(QueryableByName)]
        struct Bounds {
            #[diesel(sql_type = Nullable<BigInt>)]
            first: Option<i64>,
            #[diesel(sql_type = Nullable<BigInt>)]
            last: Option<i64>,
        }
        let bounds = "SELECT MIN(r.first_seq) AS first, MAX(r.last_seq) AS last FROM set_aside_records r \
                      JOIN set_aside s ON s.id = r.item_id WHERE s.host_id = $1 AND s.retry_at IS NOT NULL";
        let items: Vec<ItemColumns> = self.rows(ITEMS, binds![host.0]).await?;
        let bounds: Vec<Bounds> = self.rows(bounds, binds![host.0]).await?;
        let released = bounds.first().and_then(|bounds| Some((bounds.first?, bounds.last?)));
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
        let items: Vec<ItemColumns> = self.rows(ITEMS, binds![0_i64]).await?;
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
        let update = "UPDATE set_aside SET retry_at = $1 WHERE retry_at IS NULL AND (id = $2 OR $2 = 0)";
        self.exec(update, binds![at.ms(), item.unwrap_or(0)]).await
    }

    /// The records that are to be appended to the host's log next.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn set_aside_next(&self, host: HostId) -> Result<Option<AsideRow>> {
        let select = "SELECT r.id, r.item_id, r.first_seq, r.last_seq, r.records, r.body, r.retried_seq, \
                      r.retried_minute FROM set_aside_records r JOIN set_aside s ON s.id = r.item_id \
                      WHERE r.host_id = $1 AND r.retried_seq IS NULL AND s.retry_at IS NOT NULL ORDER BY r.id LIMIT 1";
        Ok(rows(self.rows(select, binds![host.0]).await?)?.pop())
    }

    /// Some records that were set aside.
    ///
    /// # Errors
    /// When the database gives no answer, or the row is damaged.
    pub async fn set_aside_row(&self, host: HostId, row: i64) -> Result<Option<AsideRow>> {
        let select = "SELECT id, item_id, first_seq, last_seq, records, body, retried_seq, retried_minute \
                      FROM set_aside_records WHERE host_id = $1 AND id = $2";
        Ok(rows(self.rows(select, binds![host.0, row]).await?)?.pop())
    }

    /// Records around a position that are to be in the log again, or are.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn set_aside_around(&self, host: HostId, seq: Seq) -> Result<Vec<AsideRow>> {
        let select = "SELECT r.id, r.item_id, r.first_seq, r.last_seq, r.records, r.body, r.retried_seq, \
                      r.retried_minute FROM set_aside_records r JOIN set_aside s ON s.id = r.item_id \
                      WHERE r.host_id = $1 AND r.first_seq <= $2 AND r.last_seq >= $2 AND s.retry_at IS NOT NULL \
                      ORDER BY r.id";
        rows(self.rows(select, binds![host.0, seq.to_i64()]).await?)
    }

    /// All rows of a host with a number above `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn set_aside_rows(&self, host: HostId, after: i64, limit: u32) -> Result<Vec<AsideRow>> {
        let select = "SELECT id, item_id, first_seq, last_seq, records, body, retried_seq, retried_minute \
                      FROM set_aside_records WHERE host_id = $1 AND id > $2 ORDER BY id LIMIT $3";
        rows(self.rows(select, binds![host.0, after, i64::from(limit)]).await?)
    }
}
