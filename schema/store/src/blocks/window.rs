//! Where a block's window ends in each host's log.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use units::{BlockRowId, Timestamp};

use super::rows;
use crate::db::{Conn, txn};
use crate::hosts::{has_passed_find, was_there_at_find};
use crate::ledger::{MONEY_LEASE, lease_check_in_txn};
use crate::sql::binds;
use crate::{Result, Store, StoreError};

/// Hosts that were there at the find.
const HOSTS: &str = concat!(
    "SELECT h.id, h.name, w.end_seq IS NOT NULL AS ended, \
     h.retired_at IS NOT NULL OR h.folded_seq >= COALESCE(w.end_seq, 0) AS folded, ",
    has_passed_find!(),
    " AS passed FROM blocks b JOIN hosts h ON true LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = h.id \
     WHERE b.id = $1 AND (w.end_seq IS NOT NULL OR ",
    was_there_at_find!(),
    ") ORDER BY h.name"
);

/// The last position of the minute of the find, or of the minutes before.
const END: &str = "SELECT MAX(s.last_seq) AS n FROM segments s JOIN worker_identities l ON l.id = s.identity_id \
    WHERE l.host_id = $1 AND s.minute <= $2";

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
    let found_at = c.number("SELECT found_at AS n FROM blocks WHERE id = $1", binds![block.0]).await?;
    let found_at = found_at.ok_or_else(|| StoreError::Conflict { what: format!("block row {block}") })?;
    let minute = Timestamp::from_ms(found_at).minute();
    // In order of id, as all who lock several.
    c.rows::<rows::Id>(&format!("SELECT id FROM hosts ORDER BY id{}", c.for_update()), binds![]).await?;
    let hosts: Vec<HostRow> = c.rows(HOSTS, binds![block.0]).await?;
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

async fn end(c: &mut Conn<'_>, block: BlockRowId, host: i64, minute: i64) -> Result<()> {
    let end = c.number(END, binds![host, minute]).await?.unwrap_or(0);
    let insert = "INSERT INTO block_windows (block_id, host_id, end_seq) VALUES ($1, $2, $3)";
    c.run(insert, binds![block.0, host, end]).await?;
    c.run("UPDATE hosts SET closed_seq = $1 WHERE id = $2 AND closed_seq < $1", binds![end, host]).await?;
    Ok(())
}
