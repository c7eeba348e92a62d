//! Opens the database, or brings its tables up to date.
use crate::OpenError;
use crate::connect::{self, DatabaseUrl};
use crate::db::{Store, runtime};
use crate::migrate::{self, Joining};

impl Store {
    /// Opens `sqlite:PATH` or `postgres://...`. Blocks for one checked connection; `pool_size` is the number of
    /// PostgreSQL connections (SQLite has one writer and four readers).
    ///
    /// # Errors
    /// [`OpenError::BadUrl`], [`OpenError::Unreachable`]; [`OpenError::NotMigrated`] and [`OpenError::TooNew`] when
    /// the tables are not those of this program.
    pub fn open(url: &str, pool_size: u32) -> Result<Store, OpenError> {
        let place = DatabaseUrl::parse(url)?;
        connect::on_own_thread(|| {
            let rt = runtime().map_err(|error| place.unreachable(&error))?;
            let db = rt.block_on(async {
                migrate::check(&place).await?;
                connect::pools(&place, pool_size).await
            })?;
            Ok(Store::of(db, rt))
        })
    }

    /// Whether a URL can be used at all, with the files that it names. Asks no database.
    ///
    /// # Errors
    /// [`OpenError::BadUrl`]; [`OpenError::Unreachable`] for a file of certificates that cannot be used.
    pub fn check_url(url: &str) -> Result<(), OpenError> {
        let place = DatabaseUrl::parse(url)?;
        match &place {
            DatabaseUrl::Lite(_) => Ok(()),
            DatabaseUrl::Pg(url) => connect::check_pg(url).map_err(|error| place.unreachable(&error)),
        }
    }

    /// Applies the migrations that are missing to a database that no older program has filled, and returns their names.
    ///
    /// # Errors
    /// As [`Store::migrate_joining`], and [`OpenError::MigrationFailed`] where accounts must be joined.
    pub fn migrate(url: &str) -> Result<Vec<String>, OpenError> {
        let place = DatabaseUrl::parse(url)?;
        connect::on_own_thread(|| migrate::apply(&place, None))
    }

    /// Applies the migrations that are missing and returns their names. A SQLite file with tables is copied beside
    /// itself before that. Accounts that older programs kept under two texts of the same keys are joined once.
    ///
    /// # Errors
    /// [`OpenError::TooNew`] when the database knows a migration that this program does not.
    pub fn migrate_joining(url: &str, joining: Joining) -> Result<Vec<String>, OpenError> {
        let place = DatabaseUrl::parse(url)?;
        connect::on_own_thread(|| migrate::apply(&place, Some(joining)))
    }
}
