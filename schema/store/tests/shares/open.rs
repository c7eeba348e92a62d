//! Opening, migrating, and outliving callers.
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use store::{OpenError, Store, StoreError};

use crate::common::log::{EPOCH, Log, line};
use crate::common::{self, PgConnection, Scratch, for_each_database};

const MIGRATIONS: &[&str] = &[
    "00000000000001_pool",
    "00000000000003_vardiff_hints",
    "00000000000004_client_bans",
    "00000000000005_money_proofs",
    "00000000000006_suspects",
    "00000000000007_template_policies",
    "00000000000008_names",
    "00000000000009_retention",
    "00000000000010_wallet_sends",
    "00000000000011_host_lifetimes",
    "00000000000012_set_aside",
    "00000000000013_one_account_per_keys",
];

fn fresh() -> [Scratch; 2] {
    [Scratch::sqlite(), Scratch::postgres()]
}

#[test]
fn a_database_without_tables_is_refused_and_left_alone() {
    for scratch in fresh() {
        let Err(OpenError::NotMigrated { missing, .. }) = Store::open(&scratch.url(), 2) else {
            panic!("it was opened")
        };
        assert_eq!(missing, "00000000000001_pool");
        if let Scratch::Sqlite(dir) = &scratch {
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn migrations_are_applied_once() {
    for scratch in fresh() {
        assert_eq!(Store::migrate(&scratch.url()).unwrap(), MIGRATIONS);
        assert!(Store::migrate(&scratch.url()).unwrap().is_empty());
        Store::open(&scratch.url(), 2).unwrap();
    }
}

#[test]
fn processes_that_migrate_at_once_do_it_once() {
    for scratch in fresh() {
        let url = scratch.url();
        let applied: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| Store::migrate(&url).unwrap().len())).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(applied, MIGRATIONS.len());
    }
}

#[test]
fn a_newer_database_is_refused() {
    for_each_database(async |db| {
        db.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')").unwrap();
        for outcome in [Store::open(&db.url, 2).err(), Store::migrate(&db.url).err()] {
            let Some(OpenError::TooNew { version, .. }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(version, "99990101000000");
        }
    });
}

#[test]
fn a_server_that_is_away_is_named_without_its_password() {
    let url = "postgres://pool:geheim@127.0.0.1:1/pool";
    for outcome in [Store::open(url, 2).err(), Store::migrate(url).err()] {
        let Some(OpenError::Unreachable { .. }) = outcome else { panic!("{outcome:?}") };
        let text = outcome.unwrap().to_string();
        assert!(text.starts_with("database postgres://127.0.0.1:1/pool cannot be reached"), "{text}");
        assert!(!text.contains("geheim"), "{text}");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "the quick brown fox ".repeat(100)).unwrap();
    let url = format!("sqlite:{}", path.display());
    for outcome in [Store::open(&url, 2).err(), Store::migrate(&url).err()] {
        assert!(matches!(outcome, Some(OpenError::Unreachable { .. })), "{outcome:?}");
    }
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("the quick"));
}

#[test]
fn a_file_with_tables_is_copied_before_it_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("deeper/pool.sqlite").display());
    std::fs::create_dir(dir.path().join("deeper")).unwrap();
    common::sql(&url, "CREATE TABLE kept (x INTEGER); INSERT INTO kept VALUES (42);").unwrap();
    Store::migrate(&url).unwrap();
    let copy = dir.path().join("deeper/pool.sqlite.version-0");
    let mut conn = SqliteConnection::establish(copy.to_str().unwrap()).unwrap();
    conn.batch_execute("UPDATE kept SET x = 43 WHERE x = 42").unwrap();
    let tables = diesel::sql_query("DELETE FROM kept WHERE x = 43").execute(&mut conn).unwrap();
    assert_eq!(tables, 1);
    assert!(conn.batch_execute("SELECT * FROM miners").is_err());
}

#[test]
fn the_parent_directory_of_a_file_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("a/b/pool.sqlite").display());
    Store::migrate(&url).unwrap();
    Store::open(&url, 1).unwrap();
}

#[test]
fn migrations_go_up_down_and_up() {
    let columns_of_lite = "SELECT count(*) AS n FROM sqlite_master AS t, pragma_table_info(t.name) AS c";
    let columns_of_pg = "SELECT count(*) AS n FROM information_schema.columns WHERE table_schema = 'public'";
    for_each_database(async |db| {
        let select = if db.is_postgres() { columns_of_pg } else { columns_of_lite };
        let before = db.number(select);
        let down = || {
            if db.is_postgres() {
                let all = FileBasedMigrations::from_path("migrations/postgres").unwrap();
                PgConnection::establish(&db.url).unwrap().revert_all_migrations(all).unwrap().len()
            } else {
                let all = FileBasedMigrations::from_path("migrations/sqlite").unwrap();
                let path = db.url.strip_prefix("sqlite:").unwrap();
                SqliteConnection::establish(path).unwrap().revert_all_migrations(all).unwrap().len()
            }
        };
        assert_eq!(std::thread::scope(|scope| scope.spawn(down).join().unwrap()), MIGRATIONS.len());
        let tables = if db.is_postgres() {
            "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = 'public'"
        } else {
            "SELECT count(*) AS n FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        };
        assert_eq!(db.number(tables), 1);
        Store::migrate(&db.url).unwrap();
        assert_eq!(db.number(select), before);
    });
}

#[test]
fn a_caller_that_goes_away_does_not_stop_a_query() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "rig")]).await;
        let seq = log.share(0, EPOCH, 10);
        let step = log.step();
        let folding = tokio::time::timeout(Duration::ZERO, db.store.fold(step)).await;
        drop(folding);
        let folded = async {
            while db.store.host_folded(log.host).await.unwrap().0 != seq {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), folded).await.expect("the fold went on");
    });
}

#[test]
fn a_store_may_be_opened_and_dropped_on_an_async_thread() {
    for_each_database(async |db| {
        let second = Store::open(&db.url, 2).unwrap();
        let third = second.clone();
        drop(second);
        third.meta_set("key", "value").await.unwrap();
        let query = third.meta_get("key");
        let value = query.await.unwrap();
        drop(third);
        assert_eq!(value.as_deref(), Some("value"));
    });
}

#[test]
fn an_outage_is_an_error_and_no_more_than_that() {
    let scratch = Scratch::postgres();
    let url = scratch.url();
    Store::migrate(&url).unwrap();
    let store = Store::open(&url, 2).unwrap();
    let Scratch::Postgres { cluster, name } = &scratch else { panic!("it is on a server") };
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(store.meta_set("key", "value")).unwrap();
    common::sql(cluster, &format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
    let away = rt.block_on(store.meta_get("key"));
    assert!(matches!(away, Err(StoreError::NoConnection)), "{away:?}");
    common::sql(cluster, &format!("CREATE DATABASE {name}")).unwrap();
    Store::migrate(&url).unwrap();
    assert_eq!(rt.block_on(store.meta_get("key")).unwrap(), None);
}

#[test]
fn a_database_whose_tables_have_their_old_names_gets_the_new_ones_last() {
    for_each_database(async |db| {
        let kind = if db.is_postgres() { "postgres" } else { "sqlite" };
        let down = format!("migrations/{kind}/00000000000008_names/down.sql");
        db.sql(&std::fs::read_to_string(down).unwrap()).unwrap();
        db.sql("DELETE FROM __diesel_schema_migrations WHERE version = '00000000000008'").unwrap();
        db.sql("SELECT * FROM lines, suspects, intent_lines").unwrap();
        assert!(matches!(Store::open(&db.url, 2), Err(OpenError::NotMigrated { .. })));
        assert_eq!(Store::migrate(&db.url).unwrap(), ["00000000000008_names"]);
    });
}
