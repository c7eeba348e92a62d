//! Migrations that SQL alone cannot do: their file, then code, in the same transaction.
use diesel::connection::BoxableConnection;
use diesel::migration::{Migration, MigrationMetadata, MigrationName, MigrationSource, Result};
use diesel_migrations::EmbeddedMigrations;

use super::join::{self, Joining};
use super::tx::TxOf;
use crate::StoreError;

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
