//! The connection of a migration that runs code.
use diesel::backend::Backend;
use diesel::connection::BoxableConnection;
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

use crate::sql::{Bind, Row, bound};

type PgConnection = AsyncConnectionWrapper<AsyncPgConnection>;

/// The transaction that a migration runs in; as [`crate::db::Conn`], but blocking.
pub(super) enum Tx<'a> {
    Pg(&'a mut PgConnection),
    Lite(&'a mut SqliteConnection),
}

impl Tx<'_> {
    /// Rows of a query.
    pub(super) fn rows<R: Row>(&mut self, text: &str, binds: Vec<Bind>) -> crate::Result<Vec<R>> {
        Ok(match self {
            Tx::Pg(c) => bound!(Pg, text, binds).load(*c)?,
            Tx::Lite(c) => bound!(Sqlite, text, binds).load(*c)?,
        })
    }

    /// Runs a statement; how many rows it touched.
    pub(super) fn run(&mut self, text: &str, binds: Vec<Bind>) -> crate::Result<usize> {
        Ok(match self {
            Tx::Pg(c) => bound!(Pg, text, binds).execute(*c)?,
            Tx::Lite(c) => bound!(Sqlite, text, binds).execute(*c)?,
        })
    }

    /// The number that a query calls `n`, of its first row.
    pub(super) fn number(&mut self, text: &str, binds: Vec<Bind>) -> crate::Result<Option<i64>> {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::BigInt>)]
            n: Option<i64>,
        }
        Ok(self.rows::<Number>(text, binds)?.into_iter().next().and_then(|row| row.n))
    }
}

/// Which transaction a connection to this kind of database gives.
pub(super) trait TxOf: Backend + 'static {
    fn tx<'a>(conn: &'a mut dyn BoxableConnection<Self>) -> Option<Tx<'a>>;
}

impl TxOf for Pg {
    fn tx<'a>(conn: &'a mut dyn BoxableConnection<Pg>) -> Option<Tx<'a>> {
        conn.downcast_mut().map(Tx::Pg)
    }
}

impl TxOf for Sqlite {
    fn tx<'a>(conn: &'a mut dyn BoxableConnection<Sqlite>) -> Option<Tx<'a>> {
        conn.downcast_mut().map(Tx::Lite)
    }
}
