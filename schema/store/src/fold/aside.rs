//! Records that are kept beside the tables, since the database refuses what they say.
//!
//! What they are is the log's business: here they are bytes with positions. They are written by the step that goes past
//! them, so a record is folded or set aside, once, whatever is killed when.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary};

use super::step::{AsideRecords, FoldStep, ItemRef, NewItem};
use super::storable;
use crate::db::Conn;
use crate::sql::{binds, statement};
use crate::{Result, StoreError};

/// A row takes no more records when it has so many: one row is appended to the log at once when it is retried.
const RECORDS_PER_ROW: i64 = 500;

/// Packs records for a row.
pub(crate) fn pack(body: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress_prepend_size(body)
}

/// The inverse of [`pack`].
pub(crate) fn unpack(row: i64, packed: &[u8]) -> Result<Vec<u8>> {
    /// No row is larger: a step is bounded far below it.
    const BODY_MAX: usize = 256 * 1024 * 1024;
    let damaged = |why: &str| StoreError::Damaged { what: format!("set_aside_records {row}"), why: why.to_owned() };
    let length = packed.first_chunk().and_then(|length| usize::try_from(u32::from_le_bytes(*length)).ok());
    match length {
        Some(length) if length <= BODY_MAX => {
            lz4_flex::block::decompress_size_prepended(packed).map_err(|_| damaged("it cannot be decompressed"))
        }
        _ => Err(damaged("its length is impossible")),
    }
}

/// Writes what the step sets aside, and notes what is in the log again.
pub(super) async fn put(c: &mut Conn<'_>, step: &FoldStep) -> Result<()> {
    for retried in &step.aside.retried {
        let binds = binds![retried.first.to_i64(), i64::from(retried.minute.0), retried.row, step.host.0];
        if c.run_file(statement!("aside/retried.sql"), binds).await? != 1 {
            return Err(StoreError::Conflict { what: format!("set_aside_records {}", retried.row) });
        }
    }
    for records in &step.aside.records {
        let item = match &records.item {
            ItemRef::Known(id) => *id,
            ItemRef::New(item) => item_insert(c, step, item).await?,
        };
        records_put(c, step, item, records).await?;
    }
    Ok(())
}

async fn item_insert(c: &mut Conn<'_>, step: &FoldStep, item: &NewItem) -> Result<i64> {
    #[derive(QueryableByName)]
    struct New {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let binds =
        binds![step.host.0, item.kind, item.seq.to_i64(), item.definition.clone(), storable(&item.why), step.at.ms()];
    let new: Option<New> = c.load_file(statement!("aside/item_insert.sql"), binds).await?.pop();
    new.map(|new| new.id)
        .ok_or_else(|| StoreError::Damaged { what: "set_aside".to_owned(), why: "a new row has no number".to_owned() })
}

/// Goes on with the item's last row while there is room in it.
async fn records_put(c: &mut Conn<'_>, step: &FoldStep, item: i64, new: &AsideRecords) -> Result<()> {
    #[derive(QueryableByName)]
    struct Last {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = BigInt)]
        records: i64,
        #[diesel(sql_type = Binary)]
        body: Vec<u8>,
    }
    let added = i64::try_from(new.records).unwrap_or(i64::MAX);
    // One that is being retried stays as it is.
    let last: Option<Last> = c.load_file(statement!("aside/last_records.sql"), binds![item]).await?.pop();
    if let Some(last) = last.filter(|last| last.records.saturating_add(added) <= RECORDS_PER_ROW) {
        let mut body = unpack(last.id, &last.body)?;
        body.extend_from_slice(&new.body);
        let binds = binds![new.last.to_i64(), last.records + added, pack(&body), last.id];
        c.run_file(statement!("aside/records_extend.sql"), binds).await?;
        return Ok(());
    }
    let binds = binds![item, step.host.0, new.first.to_i64(), new.last.to_i64(), added, pack(&new.body)];
    c.run_file(statement!("aside/records_insert.sql"), binds).await?;
    Ok(())
}
