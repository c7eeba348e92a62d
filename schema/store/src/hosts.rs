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
//!
//! A host *was there* at a find that is not before its registration or its last opening. It *has passed* the find when
//! everything that it logged up to the find's minute is folded, or nothing more will be: it was not open at the find, has
//! caught up after that minute, or has folded a later one. Minutes never go back in a log, but its clock may differ from
//! the finder's a little, so a minute more is waited for. `hosts/overview.sql` and the statement of [`crate::blocks`] that
//! closes windows say the same of it.
use diesel::dsl::case_when;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{BoolExpressionMethods, ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{HostId, Seq, Timestamp};

use crate::db::{on, q, txn};
use crate::schema::hosts;
use crate::sql::{binds, statement};
use crate::{Result, Store};

mod gaps;

pub(crate) use gaps::settle_step;
pub use gaps::{GapKind, LogGap};

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

impl Store {
    /// All hosts, oldest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_overview(&self) -> Result<Vec<HostRow>> {
        let rows: Vec<OverviewRow> = self
            .run(
                |db| async move { db.read().await?.conn().load_file(statement!("hosts/overview.sql"), binds![]).await },
            )
            .await?;
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
        self.run(|db| async move {
            let open = hosts::table
                .filter(hosts::retired_at.is_null())
                .filter(hosts::closed_at.is_null())
                .order(hosts::id)
                .select((hosts::id, hosts::name, hosts::caught_up_at));
            let rows: Vec<(i64, String, i64)> = q!(db, read, c => open.load(c).await)?;
            let host = |(id, name, caught_up_at)| OpenHost {
                id: HostId(id),
                name,
                caught_up_at: Timestamp::from_ms(caught_up_at),
            };
            Ok(rows.into_iter().map(host).collect())
        })
        .await
    }

    /// Registers a host, or finds it; from now on blocks wait for it. One that was given up and is back counts again.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_open(&self, opening: HostOpening) -> Result<HostId> {
        let HostOpening { name, at, begins, end } = opening;
        let end = end.map(Seq::to_i64).into_sql::<Nullable<BigInt>>();
        // One that had stopped, and whose log has nothing that is not folded, is open from now on; else from when it was.
        let had_stopped = hosts::closed_at.is_not_null().or(hosts::retired_at.is_not_null());
        let all_is_folded = end.is_null().or(hosts::folded_seq.nullable().eq(end));
        let opened_at =
            case_when(had_stopped.and(all_is_folded), at.ms().into_sql::<BigInt>()).otherwise(hosts::opened_at);
        let row = (hosts::name.eq(name), hosts::registered_at.eq(at.ms()), hosts::opened_at.eq(at.min(begins).ms()));
        self.run(move |db| async move {
            let upsert = diesel::insert_into(hosts::table)
                .values(row)
                .on_conflict(hosts::name)
                .do_update()
                .set((
                    hosts::retired_at.eq(None::<i64>),
                    hosts::closed_at.eq(None::<i64>),
                    hosts::opened_at.eq(opened_at),
                ))
                .returning(hosts::id);
            Ok(HostId(q!(db, write, c => upsert.get_result(c).await)?))
        })
        .await
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
        self.run(move |db| async move {
            let done = hosts::table
                .find(host.0)
                .filter(hosts::folded_seq.eq(end.to_i64()))
                .filter(hosts::retired_at.is_null());
            // What it logs later must not grow a segment in which a window ends.
            let close = (hosts::closed_at.eq(at.ms()), hosts::closed_seq.eq(hosts::folded_seq));
            let update = diesel::update(done).set(close);
            Ok(q!(db, write, c => update.execute(c).await)? == 1)
        })
        .await
    }

    /// Makes a closed host that goes on with a copy of the log of `replaced` after position `end`; what is before it
    /// belongs to that one.
    ///
    /// # Errors
    /// When the database gives no answer, or the name is taken.
    pub async fn host_replace(&self, name: &str, replaced: HostId, end: Seq, at: Timestamp) -> Result<()> {
        let row = (
            hosts::name.eq(name.to_owned()),
            hosts::registered_at.eq(at.ms()),
            hosts::opened_at.eq(at.ms()),
            hosts::closed_at.eq(at.ms()),
            hosts::replaces.eq(replaced.0),
            hosts::folded_seq.eq(end.to_i64()),
            hosts::closed_seq.eq(end.to_i64()),
        );
        self.run(move |db| async move {
            let insert = diesel::insert_into(hosts::table).values(row).returning(hosts::id);
            txn!(db, conn => {
                let host: i64 = on!(conn, c => insert.get_result(c).await)?;
                if end > Seq::ZERO {
                    gaps::insert(conn, HostId(host), Seq(1), end, GapKind::Elsewhere, at).await?;
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
        let name = name.to_owned();
        self.run(move |db| async move {
            let at = at.ms().into_sql::<Nullable<BigInt>>();
            let first = case_when(hosts::retired_at.is_null(), at).otherwise(hosts::retired_at);
            let update = diesel::update(hosts::table.filter(hosts::name.eq(name))).set(hosts::retired_at.eq(first));
            Ok(q!(db, write, c => update.execute(c).await)? == 1)
        })
        .await
    }

    /// What time it is by the database's clock, which all hosts share.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn now(&self) -> Result<Timestamp> {
        #[derive(QueryableByName)]
        struct Now {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let now: Vec<Now> = self
            .run(|db| async move { db.read().await?.conn().load_file(statement!("hosts/now.sql"), binds![]).await })
            .await?;
        Ok(Timestamp::from_ms(now.into_iter().next().map_or(0, |now| now.n)))
    }
}
