//! Where the database is, and how a connection to it is set up.
//!
//! What it refuses to do: print credentials, or open anything but a file or a PostgreSQL server.
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

mod pg;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection, RecyclingMethod, bb8::Pool,
};
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::OpenError;
use crate::db::{Db, Lite};

pub(crate) use pg::check as check_pg;
pub(crate) use pg::connect as connect_pg;

/// How long a query waits for a connection, and a connection for its server.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Readers of the SQLite file. They never wait for its writer.
const LITE_READERS: u32 = 4;

/// `busy_timeout` first: the statements after it may meet a writer.
const LITE_WRITER: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536;";
const LITE_READER: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; \
    PRAGMA cache_size = -16384;";

/// Which database a URL names. Prints without credentials.
#[derive(Clone)]
pub(crate) enum DatabaseUrl {
    /// A file.
    Lite(PathBuf),
    /// A server's URL, credentials included: never printed.
    Pg(String),
}

impl DatabaseUrl {
    pub(crate) fn parse(url: &str) -> Result<DatabaseUrl, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(DatabaseUrl::Pg(url.to_owned()));
        }
        match url.strip_prefix("sqlite:") {
            // SQLite would read these as no file at all, and every connection would see another database.
            Some(path) if !path.is_empty() && !path.starts_with("file:") && path != ":memory:" => {
                Ok(DatabaseUrl::Lite(PathBuf::from(path)))
            }
            Some(_) => Err(OpenError::BadUrl(url.to_owned())),
            // A URL of another kind may hold a password: only its scheme is repeated.
            None => {
                let scheme = url.split_once(':').map(|(scheme, _)| format!("{scheme}:..."));
                Err(OpenError::BadUrl(scheme.unwrap_or_else(|| "...".to_owned())))
            }
        }
    }

    pub(crate) fn unreachable(&self, why: &dyn fmt::Display) -> OpenError {
        OpenError::Unreachable { place: self.to_string(), why: why.to_string() }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Lite(path) => write!(f, "sqlite:{}", path.display()),
            DatabaseUrl::Pg(url) => write!(f, "postgres://{}", without_credentials(url)),
        }
    }
}

/// `host:port/name` of a PostgreSQL URL; `...` when it cannot be told for certain what of it is a password.
fn without_credentials(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    match before_query.rsplit_once('@') {
        _ if query.contains('@') => "...",
        Some((_, place)) => place,
        // `user:pa/ss` without a host looks like this as well, but has no `@` and so is no credential to anybody.
        None => before_query,
    }
}

/// The pools. Nothing is connected yet.
pub(crate) async fn pools(place: &DatabaseUrl, pool_size: u32) -> Result<Db, OpenError> {
    match place {
        DatabaseUrl::Pg(url) => {
            let pool = pool(place, url, pool_size.max(1), RecyclingMethod::Verified, |url| connect_pg(url).boxed());
            Ok(Db::Pg(pool.await?))
        }
        DatabaseUrl::Lite(path) => {
            let path = path.to_str().ok_or_else(|| OpenError::BadUrl(place.to_string()))?;
            let writer = pool(place, path, 1, RecyclingMethod::Fast, |path| connect_lite(path, LITE_WRITER).boxed());
            let readers =
                pool(place, path, LITE_READERS, RecyclingMethod::Fast, |path| connect_lite(path, LITE_READER).boxed());
            Ok(Db::Lite { w: writer.await?, r: readers.await? })
        }
    }
}

async fn pool<C, F>(
    place: &DatabaseUrl,
    url: &str,
    size: u32,
    recycling: RecyclingMethod<C>,
    setup: F,
) -> Result<Pool<C>, OpenError>
where
    C: PoolableConnection + 'static,
    AsyncDieselConnectionManager<C>: bb8::ManageConnection<Connection = C, Error = PoolError>,
    F: for<'a> Fn(&'a str) -> BoxFuture<'a, ConnectionResult<C>> + Send + Sync + 'static,
{
    let mut config = ManagerConfig::<C>::default();
    config.recycling_method = recycling;
    config.custom_setup = Box::new(setup);
    Pool::builder()
        .max_size(size)
        .connection_timeout(CONNECT_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .error_sink(Box::new(LogErrors { place: place.to_string() }))
        .build(AsyncDieselConnectionManager::new_with_config(url, config))
        .await
        .map_err(|error| place.unreachable(&error))
}

fn connect_lite(path: &str, setup: &'static str) -> impl Future<Output = ConnectionResult<Lite>> + Send + use<> {
    let path = path.to_owned();
    async move {
        let mut conn = <Lite as AsyncConnection>::establish(&path).await?;
        conn.batch_execute(setup).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(conn)
    }
}

/// A pool only says "timed out" to its callers; the reason goes to the log.
#[derive(Debug, Clone)]
struct LogErrors {
    place: String,
}

impl bb8::ErrorSink<PoolError> for LogErrors {
    fn sink(&self, error: PoolError) {
        tracing::warn!(database = %self.place, %error, "database connection failed");
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<PoolError>> {
        Box::new(self.clone())
    }
}

/// Runs `work` on a thread of its own, so that blocking in it is allowed wherever the caller is.
pub(crate) fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        match DatabaseUrl::parse(url) {
            Ok(place) => place.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_place_is_printed_without_credentials() {
        assert_eq!(shown("postgres://pool:geheim@db.example:5433/pool"), "postgres://db.example:5433/pool");
        assert_eq!(shown("postgresql://pool:ge@heim@db/pool?sslmode=disable"), "postgres://db/pool");
        assert_eq!(shown("postgres:///pool?host=/run/pg&password=geheim"), "postgres:///pool");
        for url in ["postgres://pool:ge?heim@db/pool", "postgres://db/pool?password=ge@heim", "mysql://u:geheim@db/x"] {
            assert!(!shown(url).contains("heim"), "{}", shown(url));
        }
    }

    #[test]
    fn only_files_and_servers_are_databases() {
        assert_eq!(shown("sqlite:data/pool.sqlite"), "sqlite:data/pool.sqlite");
        for url in ["", "pool.sqlite", "sqlite:", "sqlite::memory:", "sqlite:file:x?mode=memory", "mysql://db/pool"] {
            assert!(matches!(DatabaseUrl::parse(url), Err(OpenError::BadUrl(_))), "{url}");
        }
    }
}
