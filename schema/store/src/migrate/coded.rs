//! Migrations that SQL alone cannot do: their file, then code, in the same transaction.
use diesel::backend::Backend;
use diesel::connection::BoxableConnection;
use diesel::migration::{Migration, MigrationMetadata, MigrationName, MigrationSource, Result};
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::EmbeddedMigrations;

use super::join::{self, Joining};
use crate::StoreError;
use crate::sql::{Bind, Row, bound};

type PgConnection = AsyncConnectionWrapper<AsyncPgConnection>;

/// The version whose code joins accounts.
const JOINS: &str = "00000000000013";

/// The files with their code.
pub(super) struct Coded {
    pub(super) files: EmbeddedMigrations,
    pub(super) joining: Option<Joining>,
}

impl<DB: TxOf> MigrationSource<DB> for Coded
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    fn migrations(&self) -> Result<Vec<Box<dyn Migration<DB>>>> {
        let files: Vec<Box<dyn Migration<DB>>> = self.files.migrations()?;
        let coded = files.into_iter().map(|file| -> Box<dyn Migration<DB>> {
            if file.name().version() == JOINS.into() { Box::new(Joins { file, joining: self.joining }) } else { file }
        });
        Ok(coded.collect())
    }
}

struct Joins<DB> {
    file: Box<dyn Migration<DB>>,
    joining: Option<Joining>,
}

impl<DB: TxOf> Migration<DB> for Joins<DB> {
    fn run(&self, conn: &mut dyn BoxableConnection<DB>) -> Result<()> {
        self.file.run(conn)?;
        let mut tx = DB::tx(conn).ok_or("the connection is of another kind")?;
        join::join_accounts(&mut tx, self.joining.as_ref()).map_err(|error| match error {
            // What the server says is what helps.
            StoreError::Query(error) => error.into(),
            error => error.into(),
        })
    }

    fn revert(&self, conn: &mut dyn BoxableConnection<DB>) -> Result<()> {
        self.file.revert(conn)
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        self.file.metadata()
    }

    fn name(&self) -> &dyn MigrationName {
        self.file.name()
    }
}

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
