//! Databases for pools to fill: a PostgreSQL database of one's own, and SQL past the store.
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::SqliteConnection;
use diesel::connection::{Connection, SimpleConnection};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

const CLUSTER: &str = "MESHPOOL_TEST_POSTGRES";

/// Runs SQL in any database.
///
/// # Panics
/// When it fails.
pub fn sql(url: &str, text: &str) {
    // The wrapper blocks on a runtime of its own, which a thread with a runtime does not allow.
    let run = || match url.strip_prefix("sqlite:") {
        Some(path) => SqliteConnection::establish(path).map(|mut conn| conn.batch_execute(text)),
        None => {
            let conn = AsyncConnectionWrapper::<AsyncPgConnection>::establish(url);
            conn.map(|mut conn| conn.batch_execute(text))
        }
    };
    let outcome = std::thread::scope(|scope| scope.spawn(run).join());
    outcome.expect("no panic").expect("the database is reachable").unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// An empty PostgreSQL database; gone when dropped.
pub struct Scratch {
    cluster: String,
    name: String,
}

impl Scratch {
    /// Makes one in the cluster of `MESHPOOL_TEST_POSTGRES`.
    ///
    /// # Panics
    /// When there is no such cluster.
    #[must_use]
    pub fn postgres() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = std::env::var(CLUSTER).unwrap_or_else(|_| {
            panic!("{CLUSTER} must be the URL of a PostgreSQL cluster: ops/throwaway-postgres start DIR prints one")
        });
        let name = format!("meshpool_e2e_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        sql(&cluster, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        sql(&cluster, &format!("CREATE DATABASE {name}"));
        Scratch { cluster, name }
    }

    /// Lets nobody in and throws everybody out, as if it were gone.
    pub fn shut(&self) {
        let name = &self.name;
        sql(&self.cluster, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
        sql(&self.cluster, &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    }

    /// Lets everybody in again.
    pub fn open(&self) {
        sql(&self.cluster, &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name));
    }

    /// Its URL.
    ///
    /// # Panics
    /// When the cluster's URL names no database.
    #[must_use]
    pub fn url(&self) -> String {
        let (server, _) = self.cluster.rsplit_once('/').expect("it ends in /DATABASE");
        format!("{server}/{}", self.name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            sql(&self.cluster, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
