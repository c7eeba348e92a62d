//! Databases for pools to fill: a PostgreSQL database of one's own, and SQL past the store.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use diesel::SqliteConnection;
use diesel::connection::{Connection, SimpleConnection};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

use crate::binaries::repository;

const CLUSTER: &str = "MESHPOOL_TEST_POSTGRES";

/// Runs SQL in any database.
///
/// # Panics
/// When it fails.
pub fn sql(url: &str, text: &str) {
    // The wrapper blocks on a runtime of its own, which a thread with a runtime does not allow.
    let run = || match url.strip_prefix("sqlite:") {
        Some(path) => SqliteConnection::establish(path).map(|mut conn| {
            // The pool may be writing.
            conn.batch_execute(&format!("PRAGMA busy_timeout = 5000; {text}"))
        }),
        None => {
            let conn = AsyncConnectionWrapper::<AsyncPgConnection>::establish(url);
            conn.map(|mut conn| conn.batch_execute(text))
        }
    };
    let outcome = std::thread::scope(|scope| scope.spawn(run).join());
    outcome.expect("no panic").expect("the database is reachable").unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// A connection of somebody else that keeps what it has begun, until it is dropped.
pub struct Held {
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    /// Runs SQL that begins a transaction, and does not end it.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn begin(url: &str, text: &str) -> Held {
        let ((release, released), (tell, told)) = (channel::<()>(), channel());
        let (url, text) = (url.to_owned(), text.to_owned());
        let thread = std::thread::spawn(move || {
            let keep = |outcome: diesel::QueryResult<()>| {
                tell.send(outcome).expect("the test waits for it");
                // An error, when the sender is dropped.
                let _released = released.recv();
            };
            match url.strip_prefix("sqlite:") {
                Some(path) => {
                    let mut conn = SqliteConnection::establish(path).expect("the database is reachable");
                    keep(conn.batch_execute(&text));
                }
                None => {
                    let conn = AsyncConnectionWrapper::<AsyncPgConnection>::establish(&url);
                    keep(conn.expect("the database is reachable").batch_execute(&text));
                }
            }
        });
        told.recv().expect("no panic").expect("it can be begun");
        Held { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "the connection broke");
        }
    }
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
        Scratch::made("")
    }

    /// One with an encoding of its own.
    ///
    /// # Panics
    /// When there is no such cluster or encoding.
    #[must_use]
    pub fn of_encoding(encoding: &str) -> Scratch {
        Scratch::made(&format!(" ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"))
    }

    fn made(options: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = std::env::var(CLUSTER).unwrap_or_else(|_| {
            panic!("{CLUSTER} must be the URL of a PostgreSQL cluster: ops/throwaway-postgres start DIR prints one")
        });
        let name = format!("meshpool_e2e_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        sql(&cluster, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        sql(&cluster, &format!("CREATE DATABASE {name}{options}"));
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

/// A PostgreSQL cluster of one's own, to be stopped in the middle; gone when dropped.
pub struct Cluster {
    place: PathBuf,
    url: String,
}

impl Cluster {
    /// Makes one in an empty directory, which its owner must be able to reach.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start(place: &Path) -> Cluster {
        Cluster { place: place.to_owned(), url: throwaway("start", place) }
    }

    /// URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops it as a crash would.
    pub fn pause(&self) {
        throwaway("pause", &self.place);
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn resume(&self) {
        assert_eq!(throwaway("start", &self.place), self.url);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        throwaway("stop", &self.place);
    }
}

/// Runs `ops/throwaway-postgres` and returns what it prints.
fn throwaway(order: &str, place: &Path) -> String {
    let program = repository().join("ops/throwaway-postgres");
    let output = Command::new(&program).arg(order).arg(place).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || std::thread::panicking(), "{} {order}: {said}", program.display());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
