//! Connections, and one way to write a query for both databases.
//!
//! A query takes `&mut Conn` and says `on!(conn, c => ...)` around each statement: the statement is type-checked
//! once per database, everything around it once. `q!` is one statement outside a transaction, `txn!` a writing
//! transaction, `snapshot!` several reads of one moment.
//!
//! What it refuses to do: run a query on the caller's thread, or stop one because the caller went away.
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use diesel::SqliteConnection;
use diesel::connection::AnsiTransactionManager;
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager};
use tokio::runtime::Runtime;

use crate::{Result, StoreError};

/// SQLite behind an async face: every statement is one hop to a blocking thread.
pub(crate) type Lite = SyncConnectionWrapper<SqliteConnection>;

/// One statement on whichever database `$conn` (a `&mut Conn`) is: `on!(conn, c => query.load(c).await)`.
macro_rules! on {
    ($conn:expr, $c:ident => $body:expr) => {
        match &mut *$conn {
            $crate::db::Conn::Pg($c) => {
                let $c: &mut diesel_async::AsyncPgConnection = $c;
                $body
            }
            $crate::db::Conn::Lite($c) => {
                let $c: &mut $crate::db::Lite = $c;
                $body
            }
        }
    };
}
pub(crate) use on;

/// Like [`on!`], and nobody else changes the query's rows before this transaction ends: `locked!(conn, query, load)`. On
/// SQLite a writing transaction is alone anyway.
macro_rules! locked {
    ($conn:expr, $query:expr, $method:ident) => {
        match &mut *$conn {
            $crate::db::Conn::Pg(c) => $query.for_update().$method(*c).await,
            $crate::db::Conn::Lite(c) => $query.$method(*c).await,
        }
    };
}
pub(crate) use locked;

/// One statement outside a transaction: `q!(db, read, c => query.load(c).await)`, or `write`.
macro_rules! q {
    ($db:expr, $mode:ident, $c:ident => $body:expr) => {{
        let mut pooled = $db.$mode().await?;
        let mut conn = pooled.conn();
        $crate::db::on!(&mut conn, $c => $body)
    }};
}
pub(crate) use q;

/// A writing transaction: `txn!(db, conn => { ...; value })` with `conn: &mut Conn`. `?` inside rolls back.
/// Gives a `Result`.
macro_rules! txn {
    ($db:expr, $conn:ident => $body:expr) => {
        $crate::db::within!($db, write, begin, $conn => $body)
    };
}
pub(crate) use txn;

/// Several reads of one moment: `snapshot!(db, conn => { ...; value })` with `conn: &mut Conn`. Gives a `Result`.
macro_rules! snapshot {
    ($db:expr, $conn:ident => $body:expr) => {
        $crate::db::within!($db, read, begin_snapshot, $conn => $body)
    };
}
pub(crate) use snapshot;

/// What [`txn!`] and [`snapshot!`] share.
macro_rules! within {
    ($db:expr, $mode:ident, $begin:ident, $conn:ident => $body:expr) => {{
        let mut pooled = $db.$mode().await?;
        let $conn = &mut pooled.conn();
        $conn.$begin().await?;
        let outcome: $crate::Result<_> = async { Ok($body) }.await;
        $conn.end(outcome).await
    }};
}
pub(crate) use within;

/// Query threads. They only shuffle; SQLite's work has threads of its own.
const WORKERS: usize = 2;
/// One per SQLite connection (one writer, four readers), and one that opens another meanwhile.
const BLOCKING_THREADS: usize = 6;

/// The database. Cheap to clone; the last clone to go ends its threads.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: Db,
    /// Taken only by `drop`.
    rt: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(rt) = self.rt.take() {
            // Waiting would panic on an async thread, and nothing is left to wait for: queries hold an `Inner`.
            rt.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if matches!(self.0.db, Db::Pg(_)) { "postgres" } else { "sqlite" };
        f.debug_tuple("Store").field(&kind).finish()
    }
}

impl Store {
    /// Queries run on `rt`, through these pools.
    pub(crate) fn of(db: Db, rt: Runtime) -> Store {
        Store(Arc::new(Inner { db, rt: Some(rt) }))
    }

    /// Runs a query on the store's own threads. It runs to its end even when the returned future is dropped.
    pub(crate) async fn run<T, F, Fut>(&self, query: F) -> Result<T>
    where
        F: FnOnce(Db) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let inner = self.0.clone();
        let query = query(inner.db.clone());
        let Some(rt) = &self.0.rt else { return Err(StoreError::ShutDown) };
        let task = rt.spawn(async move {
            let outcome = query.await;
            // Held until here: the threads outlive every query.
            drop(inner);
            outcome
        });
        match task.await {
            Ok(outcome) => outcome,
            // An assertion about money must reach the caller as what it is.
            Err(lost) => match lost.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StoreError::ShutDown),
            },
        }
    }
}

/// The threads that queries run on.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("db")
        .thread_keep_alive(Duration::from_secs(60))
        .enable_all()
        .build()
}

/// The pools of connections.
#[derive(Clone)]
pub(crate) enum Db {
    /// PostgreSQL.
    Pg(Pool<AsyncPgConnection>),
    /// SQLite: `w` holds the one writer, `r` connections that cannot write.
    Lite { w: Pool<Lite>, r: Pool<Lite> },
}

impl Db {
    /// A connection for reading.
    pub(crate) async fn read(&self) -> Result<Pooled<'_>> {
        match self {
            Db::Pg(pool) => pool.get().await.map(Pooled::Pg).map_err(|_| StoreError::NoConnection),
            Db::Lite { r, .. } => r.get().await.map(Pooled::Lite).map_err(|_| StoreError::NoConnection),
        }
    }

    /// A connection for writing.
    pub(crate) async fn write(&self) -> Result<Pooled<'_>> {
        match self {
            Db::Pg(pool) => pool.get().await.map(Pooled::Pg).map_err(|_| StoreError::NoConnection),
            Db::Lite { w, .. } => w.get().await.map(Pooled::Lite).map_err(|_| StoreError::NoConnection),
        }
    }
}

/// A connection on loan from its pool.
#[expect(clippy::large_enum_variant, reason = "one per running query")]
pub(crate) enum Pooled<'a> {
    /// PostgreSQL.
    Pg(PooledConnection<'a, AsyncPgConnection>),
    /// SQLite.
    Lite(PooledConnection<'a, Lite>),
}

impl Pooled<'_> {
    /// What queries take.
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Pooled::Pg(pooled) => Conn::Pg(pooled),
            Pooled::Lite(pooled) => Conn::Lite(pooled),
        }
    }
}

/// One connection of either database.
pub(crate) enum Conn<'a> {
    /// PostgreSQL.
    Pg(&'a mut AsyncPgConnection),
    /// SQLite.
    Lite(&'a mut Lite),
}

impl Conn<'_> {
    /// Begins a writing transaction. On SQLite it takes the write lock at once: a lock taken later can fail without
    /// waiting.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        match self {
            Conn::Pg(c) => <AsyncPgConnection as AsyncConnection>::TransactionManager::begin_transaction(*c).await?,
            Conn::Lite(c) => begin_lite(c, "BEGIN IMMEDIATE").await?,
        }
        Ok(())
    }

    /// Begins a reading transaction: everything in it shows one moment.
    pub(crate) async fn begin_snapshot(&mut self) -> Result<()> {
        match self {
            Conn::Pg(c) => {
                let sql = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
                diesel_async::AnsiTransactionManager::begin_transaction_sql(*c, sql).await?;
            }
            Conn::Lite(c) => begin_lite(c, "BEGIN").await?,
        }
        Ok(())
    }

    /// Commits when `outcome` is good, else rolls back.
    pub(crate) async fn end<T>(&mut self, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(value) => {
                on!(self, c => commit(c).await)?;
                Ok(value)
            }
            Err(error) => {
                // A rollback that fails leaves a connection that its pool throws away, which rolls back as well.
                if let Err(rollback) = on!(self, c => rollback(c).await) {
                    tracing::warn!(%rollback, "database rollback failed");
                }
                Err(error)
            }
        }
    }
}

async fn begin_lite(conn: &mut Lite, sql: &'static str) -> diesel::QueryResult<()> {
    conn.spawn_blocking(move |c| AnsiTransactionManager::begin_transaction_sql(c, sql)).await
}

async fn commit<C: AsyncConnection>(conn: &mut C) -> diesel::QueryResult<()> {
    C::TransactionManager::commit_transaction(conn).await
}

async fn rollback<C: AsyncConnection>(conn: &mut C) -> diesel::QueryResult<()> {
    C::TransactionManager::rollback_transaction(conn).await
}
