//! Where a block's window ends in each host's log.
use diesel::dsl::max;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{BlockRowId, Timestamp};

use crate::db::{Conn, locked, on, txn};
use crate::ledger::{MONEY_LEASE, lease_check_in_txn};
use crate::schema::{block_windows, blocks, hosts, segments, worker_identities};
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError};

#[derive(QueryableByName)]
struct HostRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    ended: bool,
    #[diesel(sql_type = Nullable<Bool>)]
    folded: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    passed: Option<bool>,
}

impl Store {
    /// Ends the block's window in the log of every host that has folded past the find, and names those that have not:
    /// the weights must wait for them. The finder's own host has its end since the fold of the candidate. Elsewhere it
    /// lies behind the minute of the find; work of that minute that is folded later belongs to the next window.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` for a block that is not there.
    pub async fn block_window_close(&self, epoch: i64, block: BlockRowId) -> Result<Vec<String>> {
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                close(c, block).await?
            })
        })
        .await
    }
}

async fn close(c: &mut Conn<'_>, block: BlockRowId) -> Result<Vec<String>> {
    let found_at = blocks::table.find(block.0).select(blocks::found_at);
    let found_at: Option<i64> = on!(c, c => found_at.get_result(c).await.optional())?;
    let found_at = found_at.ok_or_else(|| StoreError::Conflict { what: format!("block row {block}") })?;
    let minute = Timestamp::from_ms(found_at).minute();
    hosts_lock(c).await?;
    let hosts: Vec<HostRow> = c.load_file(statement!("window/hosts.sql"), binds![block.0]).await?;
    let mut lagging = Vec::new();
    for host in hosts {
        match (host.ended, host.folded == Some(true), host.passed == Some(true)) {
            (true, true, _) => {}
            (false, _, true) => end(c, block, host.id, i64::from(minute.0)).await?,
            _ => lagging.push(host.name),
        }
    }
    Ok(lagging)
}

/// Ends the window at the last position of the minute of the find, or of the minutes before.
async fn end(conn: &mut Conn<'_>, block: BlockRowId, host: i64, minute: i64) -> Result<()> {
    let last = segments::table
        .inner_join(worker_identities::table)
        .filter(worker_identities::host_id.eq(host))
        .filter(segments::minute.le(minute))
        .select(max(segments::last_seq));
    let last: Option<i64> = on!(conn, c => last.get_result(c).await)?;
    let end = last.unwrap_or(0);
    let insert = diesel::insert_into(block_windows::table).values((
        block_windows::block_id.eq(block.0),
        block_windows::host_id.eq(host),
        block_windows::end_seq.eq(end),
    ));
    on!(conn, c => insert.execute(c).await)?;
    let behind = hosts::table.find(host).filter(hosts::closed_seq.lt(end));
    let close = diesel::update(behind).set(hosts::closed_seq.eq(end));
    on!(conn, c => close.execute(c).await)?;
    Ok(())
}

/// Keeps all folds out until the transaction ends. In order of id, so that two who lock several cannot wait for each
/// other; a fold holds one only.
pub(super) async fn hosts_lock(c: &mut Conn<'_>) -> Result<()> {
    let all = hosts::table.order(hosts::id).select(hosts::id);
    let _ids: Vec<i64> = locked!(c, all, load)?;
    Ok(())
}
