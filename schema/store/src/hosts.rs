//! Hosts: the processes that write share logs. Which of them blocks wait for, and what their logs lack.
//!
//! A host is *open* from its registration ([`Store::host_open`]) until it has stopped with everything folded
//! ([`Store::host_close`]) or an operator has given its log up ([`Store::host_retire`]). A block waits for every host that
//! was opened before its find and is still open, until that one has folded past the find. One that is closed has nothing
//! left to fold, whenever the block was found; one that was closed at the find and is open again has logged what it did
//! not fold after the find. So the tables need no history: `opened_at` is the begin of the time of which not everything
//! may be folded.
//!
//! Clocks: finds have the time of the finder's clock. A host is opened by its own clock or by the database's, whichever
//! is behind: a block that waits too long loses nothing. What clocks of two hosts differ by otherwise are seconds, in
//! which a host that has just started logs nothing that matters to a window of hours.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::{HostId, Seq, Timestamp};

use crate::db::{Conn, txn};
use crate::sql::binds;
use crate::{Result, Store, StoreError};

mod gaps;

pub(crate) use gaps::settle_step;
pub use gaps::{GapKind, LogGap};

/// That block `b` may have shares of host `h` which are not folded: the host is open, and was at the find.
macro_rules! is_open_at_find {
    () => {
        "(h.retired_at IS NULL AND h.closed_at IS NULL AND h.opened_at <= b.found_at)"
    };
}
pub(crate) use is_open_at_find;

/// That everything which host `h` logged up to the minute of the find of block `b` is folded, or nothing more will be.
/// Minutes never go back in a log, but its clock may differ from the finder's a little.
macro_rules! has_passed_find {
    () => {
        concat!(
            "(NOT ",
            $crate::hosts::is_open_at_find!(),
            " OR h.caught_up_at >= (b.found_at / 60000 + 2) * 60000 OR EXISTS (SELECT 1 FROM segments s \
             JOIN worker_identities l ON l.id = s.identity_id WHERE l.host_id = h.id AND s.minute > b.found_at / 60000))"
        )
    };
}

/// That host `h` may have shares in the window of block `b`: it was there at the find.
macro_rules! was_there_at_find {
    () => {
        "(h.registered_at <= b.found_at OR h.opened_at <= b.found_at)"
    };
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    /// Row.
    pub id: HostId,
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
    /// Since when not all that it logged may be folded.
    pub opened_at: Timestamp,
    /// Since when it is stopped with everything folded.
    pub closed_at: Option<Timestamp>,
    /// Since when an operator says that its log never comes back.
    pub retired_at: Option<Timestamp>,
    /// Name of the host whose log it goes on with, and after which position.
    pub replaces: Option<(String, Seq)>,
    /// Blocks without weights that wait for it to fold past their find.
    pub waiting_blocks: u64,
}

/// A host that may log shares which are not folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenHost {
    /// Row.
    pub id: HostId,
    /// Name of its share log.
    pub name: String,
    /// Changes whenever it has folded everything that was durable a moment before.
    pub caught_up_at: Timestamp,
}

/// A host that begins to write its log.
#[derive(Debug, Clone)]
pub struct HostOpening {
    /// Name of its share log.
    pub name: String,
    /// Now.
    pub at: Timestamp,
    /// When the log's oldest record may have been written, for a database that does not know the host.
    pub begins: Timestamp,
    /// The log's last position. With more than is folded, blocks of its earlier time wait for it, too.
    pub end: Option<Seq>,
}

impl HostRow {
    /// When it last gave a sign of life; zero for never.
    #[must_use]
    pub fn heard_of(&self) -> Timestamp {
        self.folded_at.max(self.caught_up_at)
    }

    /// Blocks that are found now wait for it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closed_at.is_none() && self.retired_at.is_none()
    }
}

const OVERVIEW: &str = concat!(
    "SELECT h.id, h.name, h.registered_at, h.folded_seq, h.folded_at, h.caught_up_at, h.opened_at, h.closed_at, \
     h.retired_at, r.name AS replaces, (SELECT g.last_seq FROM log_gaps g WHERE g.host_id = h.id AND g.kind = 'elsewhere') \
     AS goes_on_after, (SELECT COUNT(*) FROM blocks b LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = h.id \
     WHERE b.state IN ('candidate', 'submitted', 'seen') AND w.end_seq IS NULL AND ",
    was_there_at_find!(),
    " AND NOT ",
    has_passed_find!(),
    ") AS waiting_blocks FROM hosts h LEFT JOIN hosts r ON r.id = h.replaces ORDER BY h.id"
);

#[derive(QueryableByName)]
struct OverviewRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
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
    #[diesel(sql_type = BigInt)]
    opened_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    closed_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    retired_at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    replaces: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    goes_on_after: Option<i64>,
    #[diesel(sql_type = BigInt)]
    waiting_blocks: i64,
}

#[derive(QueryableByName)]
struct OpenRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    caught_up_at: i64,
}

impl Store {
    /// All hosts, oldest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_overview(&self) -> Result<Vec<HostRow>> {
        let rows: Vec<OverviewRow> = self.rows(OVERVIEW, binds![]).await?;
        let rows = rows.into_iter().map(|row| HostRow {
            id: HostId(row.id),
            registered_at: Timestamp::from_ms(row.registered_at),
            folded: Seq::from_i64(row.folded_seq),
            folded_at: Timestamp::from_ms(row.folded_at),
            caught_up_at: Timestamp::from_ms(row.caught_up_at),
            opened_at: Timestamp::from_ms(row.opened_at),
            closed_at: row.closed_at.map(Timestamp::from_ms),
            retired_at: row.retired_at.map(Timestamp::from_ms),
            replaces: row.replaces.map(|name| (name, Seq::from_i64(row.goes_on_after.unwrap_or(0)))),
            waiting_blocks: u64::try_from(row.waiting_blocks).unwrap_or(0),
            name: row.name,
        });
        Ok(rows.collect())
    }

    /// The host that writes the share log of this name.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_find(&self, name: &str) -> Result<Option<HostRow>> {
        Ok(self.host_overview().await?.into_iter().find(|host| host.name == name))
    }

    /// The hosts that blocks which are found now wait for.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn hosts_open(&self) -> Result<Vec<OpenHost>> {
        let select =
            "SELECT id, name, caught_up_at FROM hosts WHERE retired_at IS NULL AND closed_at IS NULL ORDER BY id";
        let rows: Vec<OpenRow> = self.rows(select, binds![]).await?;
        let rows = rows.into_iter().map(|row| OpenHost {
            id: HostId(row.id),
            caught_up_at: Timestamp::from_ms(row.caught_up_at),
            name: row.name,
        });
        Ok(rows.collect())
    }

    /// Registers a host, or finds it; from now on blocks wait for it. One that was given up and is back counts again.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_open(&self, opening: HostOpening) -> Result<HostId> {
        let HostOpening { name, at, begins, end } = opening;
        let insert = "INSERT INTO hosts (name, registered_at, opened_at) VALUES ($1, $2, $3) \
            ON CONFLICT (name) DO UPDATE SET retired_at = NULL, closed_at = NULL, opened_at = CASE \
            WHEN (hosts.closed_at IS NOT NULL OR hosts.retired_at IS NOT NULL) \
            AND hosts.folded_seq = COALESCE($4, hosts.folded_seq) THEN $2 ELSE hosts.opened_at END";
        let binds = binds![name.clone(), at.ms(), at.min(begins).ms(), end.map(Seq::to_i64)];
        let id = self
            .run(move |db| async move {
                txn!(db, c => {
                    c.run(insert, binds).await?;
                    c.number("SELECT id AS n FROM hosts WHERE name = $1", binds![name]).await?
                })
            })
            .await?;
        id.map(HostId).ok_or_else(|| StoreError::Conflict { what: "a host that was just registered".to_owned() })
    }

    /// [`Store::host_open`] of a log that has nothing which is not folded.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_register(&self, name: &str, at: Timestamp) -> Result<HostId> {
        self.host_open(HostOpening { name: name.to_owned(), at, begins: at, end: None }).await
    }

    /// The host writes nothing more, and `end` is its log's last position: when all of it is folded, blocks need not wait
    /// for it any more until it is opened again. `false`, and no change, when something else is folded.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_close(&self, host: HostId, end: Seq, at: Timestamp) -> Result<bool> {
        // What it logs later must not grow a segment in which a window ends.
        let update = "UPDATE hosts SET closed_at = $1, closed_seq = folded_seq WHERE id = $2 AND folded_seq = $3 \
                      AND retired_at IS NULL";
        Ok(self.exec(update, binds![at.ms(), host.0, end.to_i64()]).await? == 1)
    }

    /// Makes a closed host that goes on with a copy of the log of `replaced` after position `end`; what is before it
    /// belongs to that one.
    ///
    /// # Errors
    /// When the database gives no answer, or the name is taken.
    pub async fn host_replace(&self, name: &str, replaced: HostId, end: Seq, at: Timestamp) -> Result<()> {
        let name = name.to_owned();
        self.run(move |db| async move {
            txn!(db, c => {
                let insert = "INSERT INTO hosts (name, registered_at, opened_at, closed_at, replaces, folded_seq, closed_seq) \
                              VALUES ($1, $2, $2, $2, $3, $4, $4) RETURNING id AS n";
                let host = c.number(insert, binds![name, at.ms(), replaced.0, end.to_i64()]).await?;
                if let Some(host) = host
                    && end > Seq::ZERO
                {
                    gaps::insert(c, host, Seq(1), end, GapKind::Elsewhere, at).await?;
                }
            })
        })
        .await
    }

    /// Says that the log of a host never comes back, so that blocks need not wait for it; `false` for an unknown host.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_retire(&self, name: &str, at: Timestamp) -> Result<bool> {
        let update = "UPDATE hosts SET retired_at = COALESCE(retired_at, $1) WHERE name = $2";
        Ok(self.exec(update, binds![at.ms(), name]).await? == 1)
    }

    /// What time it is by the database's clock, which all hosts share.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn now(&self) -> Result<Timestamp> {
        let now = self
            .run(|db| async move {
                let mut pooled = db.read().await?;
                let mut c: Conn<'_> = pooled.conn();
                let select = format!("SELECT {} AS n", c.now_ms());
                c.number(&select, binds![]).await
            })
            .await?;
        Ok(Timestamp::from_ms(now.unwrap_or(0)))
    }
}
