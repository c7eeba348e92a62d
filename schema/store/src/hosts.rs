//! Hosts: the processes that write share logs, as an operator sees them.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::{Seq, Timestamp};

use crate::sql::binds;
use crate::{Result, Store};

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    /// Name of its share log.
    pub name: String,
    /// When it first started.
    pub registered_at: Timestamp,
    /// How far its log is in the database.
    pub folded: Seq,
    /// When it last moved that position.
    pub folded_at: Timestamp,
    /// When it last said that everything is folded.
    pub caught_up_at: Timestamp,
    /// Since when an operator says that its log never comes back.
    pub retired_at: Option<Timestamp>,
    /// Blocks whose window has no end in its log yet.
    pub waiting_blocks: u64,
}

impl HostRow {
    /// When it last gave a sign of life; zero for never.
    #[must_use]
    pub fn heard_of(&self) -> Timestamp {
        self.folded_at.max(self.caught_up_at)
    }
}

const OVERVIEW: &str = "SELECT h.name, h.registered_at, h.folded_seq, h.folded_at, h.caught_up_at, h.retired_at, \
    (SELECT COUNT(*) FROM blocks b LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = h.id \
     WHERE b.state IN ('candidate', 'submitted', 'seen') AND w.end_seq IS NULL AND h.registered_at <= b.found_at) \
    AS waiting_blocks FROM hosts h ORDER BY h.id";

#[derive(QueryableByName)]
struct OverviewRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    registered_at: i64,
    #[diesel(sql_type = BigInt)]
    folded_seq: i64,
    #[diesel(sql_type = BigInt)]
    folded_at: i64,
    #[diesel(sql_type = BigInt)]
    caught_up_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    retired_at: Option<i64>,
    #[diesel(sql_type = BigInt)]
    waiting_blocks: i64,
}

impl Store {
    /// All hosts, oldest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_overview(&self) -> Result<Vec<HostRow>> {
        let rows: Vec<OverviewRow> = self.rows(OVERVIEW, binds![]).await?;
        let rows = rows.into_iter().map(|row| HostRow {
            registered_at: Timestamp::from_ms(row.registered_at),
            folded: Seq::from_i64(row.folded_seq),
            folded_at: Timestamp::from_ms(row.folded_at),
            caught_up_at: Timestamp::from_ms(row.caught_up_at),
            retired_at: row.retired_at.map(Timestamp::from_ms),
            waiting_blocks: u64::try_from(row.waiting_blocks).unwrap_or(0),
            name: row.name,
        });
        Ok(rows.collect())
    }

    /// Says that the log of a host never comes back, so that blocks need not wait for it; `false` for an unknown host.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_retire(&self, name: &str, at: Timestamp) -> Result<bool> {
        let update = "UPDATE hosts SET retired_at = COALESCE(retired_at, $1) WHERE name = $2";
        Ok(self.exec(update, binds![at.ms(), name]).await? == 1)
    }
}
