//! Copies of the books, on either database.
use std::path::Path;

use crate::database::{Scratch, sql};

/// Where books can be copied.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A file of SQLite.
    Sqlite,
    /// A database of the tests' PostgreSQL cluster.
    Postgres,
}

/// A database for books, and what belongs to it.
pub struct Copy {
    /// Its URL.
    pub url: String,
    _database: Option<Scratch>,
}

impl Kind {
    /// An empty one. Names of files in `dir` may be used once.
    ///
    /// # Panics
    /// When there is no such cluster.
    #[must_use]
    pub fn fresh(self, dir: &Path, name: &str) -> Copy {
        match self {
            Kind::Sqlite => {
                Copy { url: format!("sqlite:{}", dir.join(format!("{name}.sqlite")).display()), _database: None }
            }
            Kind::Postgres => {
                let database = Scratch::postgres();
                Copy { url: database.url(), _database: Some(database) }
            }
        }
    }

    /// Copies books that nobody has open.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn copy(self, of: &str, dir: &Path, name: &str) -> Copy {
        let copy = self.fresh(dir, name);
        match self {
            Kind::Sqlite => sql(of, &format!("VACUUM INTO '{}'", &copy.url["sqlite:".len()..])),
            Kind::Postgres => {
                let database = |url: &str| url.rsplit_once('/').expect("it ends in /DATABASE").1.to_owned();
                let cluster = std::env::var("MESHPOOL_TEST_POSTGRES").expect("the copied one is in it");
                let name = database(&copy.url);
                sql(&cluster, &format!("DROP DATABASE {name}"));
                sql(&cluster, &format!("CREATE DATABASE {name} TEMPLATE {}", database(of)));
            }
        }
        copy
    }
}
