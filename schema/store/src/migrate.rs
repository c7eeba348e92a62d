//! Which tables the database has, and the twin migrations that make them.
//!
//! What it refuses to do: change anything unless it was asked to, or touch a database that a newer program made.
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl as AsyncRunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::connect::{self, DatabaseUrl};
use crate::{OpenError, db};

mod coded;
mod join;
mod tx;

use coded::Coded;
pub use join::Joining;
use tx::TxOf;

const LITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const PG: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Any number that no other program uses for advisory locks in this database.
const LOCK: &str = "SELECT pg_advisory_lock(8317034112)";

const TABLE_IN_LITE: &str = "SELECT count(*) > 0 AS found FROM sqlite_master WHERE name = '__diesel_schema_migrations'";
const TABLE_IN_PG: &str = "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS found";
const VERSIONS: &str = "SELECT version FROM __diesel_schema_migrations ORDER BY version";

#[derive(QueryableByName)]
struct TableFound {
    #[diesel(sql_type = Bool)]
    found: bool,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

/// Compares the database's migrations with those of this program. Changes nothing, not even by making a file.
pub(crate) async fn check(place: &DatabaseUrl) -> Result<(), OpenError> {
    let (applied, known) = match place {
        DatabaseUrl::Lite(path) if !path.exists() => (Vec::new(), known::<diesel::sqlite::Sqlite>(&LITE)),
        DatabaseUrl::Lite(path) => {
            let mut conn = open_lite(place, path)?;
            (applied_lite(place, &mut conn)?, known::<diesel::sqlite::Sqlite>(&LITE))
        }
        DatabaseUrl::Pg(url) => {
            let mut conn = connect::connect_pg(url).await.map_err(|error| place.unreachable(&error))?;
            refuse_encoding(place, &mut conn).await?;
            (applied_pg(place, &mut conn).await?, known::<diesel::pg::Pg>(&PG))
        }
    };
    refuse_newer(place, &applied, &known)?;
    match known.into_iter().find(|migration| !applied.contains(&migration.version)) {
        Some(missing) => Err(OpenError::NotMigrated { place: place.to_string(), missing: missing.name }),
        None => Ok(()),
    }
}

/// Applies what is missing; names of what it applied.
pub(crate) fn apply(place: &DatabaseUrl, joining: Option<Joining>) -> Result<Vec<String>, OpenError> {
    match place {
        DatabaseUrl::Lite(path) => apply_lite(place, path, joining),
        DatabaseUrl::Pg(url) => apply_pg(place, url, joining),
    }
}

fn apply_lite(place: &DatabaseUrl, path: &Path, joining: Option<Joining>) -> Result<Vec<String>, OpenError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| place.unreachable(&error))?;
    }
    let mut conn = open_lite(place, path)?;
    conn.batch_execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .map_err(|error| place.unreachable(&error))?;
    if missing_lite(place, &mut conn)?
        && let Some(copy) = back_up(place, path, &mut conn)?
    {
        tracing::info!(copy = %copy.display(), "copied the database before migrating it");
    }
    let outcome = conn.immediate_transaction(|conn| {
        Ok(match missing_lite(place, conn) {
            Ok(true) => run_pending(place, conn, Coded { files: LITE, joining }),
            Ok(false) => Ok(Vec::new()),
            Err(error) => Err(error),
        })
    });
    outcome.map_err(|error: diesel::result::Error| failed(place, &error))?
}

/// Whether migrations are missing; refuses a newer database.
fn missing_lite(place: &DatabaseUrl, conn: &mut SqliteConnection) -> Result<bool, OpenError> {
    let applied = applied_lite(place, conn)?;
    let known = known::<diesel::sqlite::Sqlite>(&LITE);
    refuse_newer(place, &applied, &known)?;
    Ok(known.iter().any(|migration| !applied.contains(&migration.version)))
}

fn apply_pg(place: &DatabaseUrl, url: &str, joining: Option<Joining>) -> Result<Vec<String>, OpenError> {
    let rt = db::runtime().map_err(|error| place.unreachable(&error))?;
    let mut conn = rt.block_on(connect::connect_pg(url)).map_err(|error| place.unreachable(&error))?;
    let applied = rt.block_on(async {
        refuse_encoding(place, &mut conn).await?;
        // A migration may take long, and so may the one of another host that this one waits for.
        let no_limits = format!("SET statement_timeout = 0; SET lock_timeout = 0; {LOCK};");
        diesel_async::SimpleAsyncConnection::batch_execute(&mut conn, &no_limits)
            .await
            .map_err(|error| failed(place, &error))?;
        applied_pg(place, &mut conn).await
    })?;
    refuse_newer(place, &applied, &known::<diesel::pg::Pg>(&PG))?;
    // The wrapper blocks, and finds the runtime that drives the connection through this guard. The lock goes with
    // the connection.
    let _guard = rt.enter();
    let mut conn = AsyncConnectionWrapper::<AsyncPgConnection>::from(conn);
    run_pending(place, &mut conn, Coded { files: PG, joining })
}

fn run_pending<DB: TxOf>(
    place: &DatabaseUrl,
    conn: &mut impl MigrationHarness<DB>,
    migrations: Coded,
) -> Result<Vec<String>, OpenError>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let known = known(&migrations.files);
    let done = conn.run_pending_migrations(migrations).map_err(|error| failed(place, &*error))?;
    let done: Vec<String> = done.iter().map(ToString::to_string).collect();
    Ok(known
        .into_iter()
        .filter(|migration| done.contains(&migration.version))
        .map(|migration| migration.name)
        .collect())
}

fn failed(place: &DatabaseUrl, why: &(impl std::fmt::Display + ?Sized)) -> OpenError {
    OpenError::MigrationFailed { place: place.to_string(), why: why.to_string() }
}

fn refuse_newer(place: &DatabaseUrl, applied: &[String], known: &[KnownMigration]) -> Result<(), OpenError> {
    match applied.iter().find(|version| known.iter().all(|migration| migration.version != **version)) {
        Some(version) => Err(OpenError::TooNew { place: place.to_string(), version: version.clone() }),
        None => Ok(()),
    }
}

/// Worker names are any text, and one that the database cannot hold would be refused with all its shares.
async fn refuse_encoding(place: &DatabaseUrl, conn: &mut AsyncPgConnection) -> Result<(), OpenError> {
    #[derive(QueryableByName)]
    struct Encoding {
        #[diesel(sql_type = Text)]
        encoding: String,
    }
    let show = diesel::sql_query("SELECT current_setting('server_encoding') AS encoding");
    let row: QueryResult<Encoding> = AsyncRunQueryDsl::get_result(show, conn).await;
    let Encoding { encoding } = row.map_err(|error| place.unreachable(&error))?;
    match encoding.as_str() {
        "UTF8" => Ok(()),
        _ => Err(OpenError::Encoding { place: place.to_string(), encoding }),
    }
}

/// A migration of this program.
struct KnownMigration {
    version: String,
    /// Version and title, as its folder is called.
    name: String,
}

/// In order.
fn known<DB: diesel::backend::Backend>(source: &EmbeddedMigrations) -> Vec<KnownMigration>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let migrations: Vec<Box<dyn Migration<DB>>> = source.migrations().expect("they were read when they were embedded");
    let known = migrations.iter().map(|migration| {
        let name = migration.name();
        KnownMigration { version: name.version().to_string(), name: name.to_string() }
    });
    let mut known: Vec<KnownMigration> = known.collect();
    known.sort_by(|a, b| a.version.cmp(&b.version));
    known
}

fn open_lite(place: &DatabaseUrl, path: &Path) -> Result<SqliteConnection, OpenError> {
    let path = path.to_str().ok_or_else(|| OpenError::BadUrl(place.to_string()))?;
    let mut conn = <SqliteConnection as Connection>::establish(path).map_err(|error| place.unreachable(&error))?;
    // Another process may migrate the same file: wait for it, then find its work done.
    conn.batch_execute("PRAGMA busy_timeout = 60000;").map_err(|error| place.unreachable(&error))?;
    Ok(conn)
}

fn applied_lite(place: &DatabaseUrl, conn: &mut SqliteConnection) -> Result<Vec<String>, OpenError> {
    let list = |conn: &mut SqliteConnection| {
        let found: TableFound = diesel::RunQueryDsl::get_result(diesel::sql_query(TABLE_IN_LITE), conn)?;
        if found.found { diesel::RunQueryDsl::load(diesel::sql_query(VERSIONS), conn) } else { Ok(Vec::new()) }
    };
    let rows: QueryResult<Vec<Version>> = list(conn);
    Ok(rows.map_err(|error| place.unreachable(&error))?.into_iter().map(|row| row.version).collect())
}

async fn applied_pg(place: &DatabaseUrl, conn: &mut AsyncPgConnection) -> Result<Vec<String>, OpenError> {
    let found: QueryResult<TableFound> = AsyncRunQueryDsl::get_result(diesel::sql_query(TABLE_IN_PG), conn).await;
    if !found.map_err(|error| place.unreachable(&error))?.found {
        return Ok(Vec::new());
    }
    let rows: QueryResult<Vec<Version>> = AsyncRunQueryDsl::load(diesel::sql_query(VERSIONS), conn).await;
    Ok(rows.map_err(|error| place.unreachable(&error))?.into_iter().map(|row| row.version).collect())
}

/// Copies a database that has tables to `PATH.version-VERSION`, with the version that it has.
fn back_up(place: &DatabaseUrl, path: &Path, conn: &mut SqliteConnection) -> Result<Option<PathBuf>, OpenError> {
    let tables = diesel::sql_query("SELECT count(*) > 0 AS found FROM sqlite_master");
    let tables: TableFound = diesel::RunQueryDsl::get_result(tables, conn).map_err(|error| failed(place, &error))?;
    if !tables.found {
        return Ok(None);
    }
    let version = applied_lite(place, conn)?.pop().unwrap_or_else(|| "0".to_owned());
    let beside = |ending: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let copy = beside(format!(".version-{version}"));
    // Its own number: another process may be at the same work.
    let unfinished = beside(format!(".copying-{}", std::process::id()));
    copy_to(conn, &unfinished)
        .and_then(|()| Ok(std::fs::rename(&unfinished, &copy)?))
        .map_err(|why| failed(place, &*why))?;
    Ok(Some(copy))
}

fn copy_to(conn: &mut SqliteConnection, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    if file.exists() {
        std::fs::remove_file(file)?;
    }
    let path = file.to_str().ok_or("its path is not UTF-8")?;
    diesel::RunQueryDsl::execute(diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(path), conn)?;
    std::fs::File::open(file)?.sync_all()?;
    Ok(())
}
