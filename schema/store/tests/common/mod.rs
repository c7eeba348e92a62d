//! A fresh, migrated database of each kind for every test.
#![allow(dead_code, reason = "every test file uses another part")]
#![expect(unreachable_pub, reason = "shared by test programs, each a crate of its own")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says where it is, and fails when it lacks something"
)]
pub mod credits;
pub mod log;
pub mod money;

use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use store::Store;
use tokio::runtime::Runtime;

pub type PgConnection = AsyncConnectionWrapper<AsyncPgConnection>;

/// One test's database.
pub struct TestDb {
    pub store: Store,
    pub url: String,
    _scratch: Scratch,
}

impl TestDb {
    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres:")
    }

    /// Runs SQL past the store.
    pub fn sql(&self, text: &str) -> QueryResult<()> {
        sql(&self.url, text)
    }

    /// The one number of a query that names it `n`.
    pub fn number(&self, text: &str) -> i64 {
        let query = diesel::sql_query(text);
        let row: QueryResult<Number> = on_own_thread(|| {
            if self.is_postgres() {
                query.get_result(&mut PgConnection::establish(&self.url).unwrap())
            } else {
                query.get_result(&mut lite(&self.url))
            }
        });
        row.unwrap().n
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn lite(url: &str) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(url.strip_prefix("sqlite:").unwrap()).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;").unwrap();
    conn
}

/// Runs SQL in any database.
pub fn sql(url: &str, text: &str) -> QueryResult<()> {
    on_own_thread(|| {
        if url.starts_with("postgres:") {
            PgConnection::establish(url).unwrap().batch_execute(text)
        } else {
            lite(url).batch_execute(text)
        }
    })
}

/// These connections block, which an async thread does not allow.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Runs the test on SQLite, then on PostgreSQL.
pub fn for_each_database(test: impl AsyncFn(&TestDb)) {
    with_each_database(|db, rt| rt.block_on(test(db)));
}

/// The same for a test that is not async itself.
pub fn with_each_database(test: impl Fn(&TestDb, &Runtime)) {
    for scratch in [Scratch::sqlite(), Scratch::postgres()] {
        let url = scratch.url();
        Store::migrate(&url).unwrap();
        let store = Store::open(&url, 4).unwrap();
        let db = TestDb { store, url, _scratch: scratch };
        println!("on {}", if db.is_postgres() { "postgres" } else { "sqlite" });
        // One thread, as the callers in production have.
        test(&db, &tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    }
}

/// An empty place for a database; gone when dropped.
pub enum Scratch {
    Sqlite(tempfile::TempDir),
    Postgres { cluster: String, name: String },
}

impl Scratch {
    pub fn sqlite() -> Scratch {
        Scratch::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn postgres() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = std::env::var("MESHPOOL_TEST_POSTGRES").expect(
            "MESHPOOL_TEST_POSTGRES must be the URL of a PostgreSQL cluster for tests: ops/throwaway-postgres start DIR prints one",
        );
        let name = format!("meshpool_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // Left over by a killed process with the same number.
        sql(&cluster, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).unwrap();
        sql(&cluster, &format!("CREATE DATABASE {name}")).unwrap();
        Scratch::Postgres { cluster, name }
    }

    pub fn url(&self) -> String {
        match self {
            Scratch::Sqlite(dir) => format!("sqlite:{}", dir.path().join("pool.sqlite").display()),
            Scratch::Postgres { cluster, name } => {
                let (server, options) = cluster
                    .split_once('?')
                    .map_or((cluster.as_str(), String::new()), |(server, options)| (server, format!("?{options}")));
                let server = server.rsplit_once('/').expect("it ends in /DATABASE").0;
                format!("{server}/{name}{options}")
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Scratch::Postgres { cluster, name } = self
            && let Err(error) = sql(cluster, &format!("DROP DATABASE {name} WITH (FORCE)"))
        {
            println!("{name} was left behind: {error}");
        }
    }
}
