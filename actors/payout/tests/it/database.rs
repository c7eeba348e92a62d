//! A fresh database of either kind.
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Gone when dropped.
pub(crate) enum Scratch {
    Sqlite(tempfile::TempDir),
    Postgres { cluster: String, name: String },
}

impl Scratch {
    pub(crate) fn new(kind: Kind) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Kind::Sqlite = kind {
            return Scratch::Sqlite(tempfile::tempdir().unwrap());
        }
        let cluster = std::env::var("MESHPOOL_TEST_POSTGRES").expect(
            "MESHPOOL_TEST_POSTGRES must be the URL of a PostgreSQL cluster for tests: ops/throwaway-postgres start DIR prints one",
        );
        let name = format!("meshpool_payout_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        sql(&cluster, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        sql(&cluster, &format!("CREATE DATABASE {name}"));
        Scratch::Postgres { cluster, name }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Scratch::Sqlite(dir) => format!("sqlite:{}", dir.path().join("pool.sqlite").display()),
            Scratch::Postgres { cluster, name } => {
                let (server, options) = match cluster.split_once('?') {
                    Some((server, options)) => (server, format!("?{options}")),
                    None => (cluster.as_str(), String::new()),
                };
                let server = server.rsplit_once('/').expect("it ends in /DATABASE").0;
                format!("{server}/{name}{options}")
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Scratch::Postgres { cluster, name } = self {
            sql(cluster, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// This connection blocks, which an async thread does not allow.
fn sql(url: &str, text: &str) {
    let run = || AsyncConnectionWrapper::<AsyncPgConnection>::establish(url).unwrap().batch_execute(text).unwrap();
    std::thread::scope(|scope| scope.spawn(run).join().unwrap());
}
