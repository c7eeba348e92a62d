//! Data that the database refuses: told apart from other failures, in its own words, and set aside.
use store::fold::{Aside, AsideRecords, FoldStep, ItemRef, NewItem, Retried};
use store::{OpenError, Store, StoreError, put_in_parts};
use units::{Minute, Seq};

use crate::common::log::{EPOCH, Log, at, hash, line, template};
use crate::common::{Scratch, TestDb, for_each_database, sql};

/// Refuses rows of a table, with a text, and an SQLSTATE where the database has one.
fn refuse(db: &TestDb, table: &str, when: &str, code: &str) {
    let trigger = if db.is_postgres() {
        format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'not this one' USING ERRCODE = '{code}', DETAIL = 'it says something', HINT = 'leave it'; \
             END $$; \
             CREATE TRIGGER refusal BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse();"
        )
    } else {
        format!(
            "CREATE TRIGGER refusal BEFORE INSERT ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    };
    db.sql(&trigger).unwrap();
}

fn mend(db: &TestDb, table: &str) {
    db.sql(&format!("DROP TRIGGER refusal{}", if db.is_postgres() { format!(" ON {table}") } else { String::new() }))
        .unwrap();
}

/// A step with a row for each table, ended by a candidate. One name asks for trouble.
async fn step(db: &TestDb) -> (Log, FoldStep) {
    let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("bob", r"O'Brien \ $1; 'x")]).await;
    let share = log.share(0, EPOCH, 10);
    log.share(1, EPOCH, 10);
    log.verdict(share, "verified");
    log.reject(1, EPOCH, "stale job", 4);
    let step = log.candidate(&hash(1), 0, share, EPOCH);
    (log, step)
}

#[test]
fn what_a_trigger_refuses_is_refused_data_in_its_own_words_in_every_table() {
    let rows = [
        ("miners", "NEW.address = 'bob'".to_owned()),
        ("worker_identities", "NEW.worker LIKE 'O%'".to_owned()),
        ("templates", "NEW.height = 1000".to_owned()),
        ("share_batches", "NEW.first_seq = 1".to_owned()),
        ("segments", "NEW.start_seq = 2".to_owned()),
        ("verdicts", "NEW.share_seq = 1".to_owned()),
        ("rejects", "NEW.count = 4".to_owned()),
        ("blocks", format!("NEW.hash = '{}'", hash(1))),
    ];
    for_each_database(async |db| {
        let (log, step) = step(db).await;
        for (table, when) in &rows {
            refuse(db, table, when, "22023");
            let error = db.store.fold(step.clone()).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, StoreError::Refused { .. }), "{table}: {text}");
            let words = if db.is_postgres() {
                ["not this one", "it says something", "22023"]
            } else {
                ["not this one", "refused the data", "22000"]
            };
            assert!(words.iter().all(|word| text.contains(word)), "{table}: {text}");
            assert_eq!(db.store.host_folded(log.host).await.unwrap(), Seq::ZERO);
            mend(db, table);
        }
        db.store.fold(step).await.unwrap();
        assert_eq!(db.store.audit_shares().await.unwrap(), []);
    });
}

#[test]
fn a_check_constraint_refuses_data_and_nothing_else_does() {
    for_each_database(async |db| {
        let (log, step) = step(db).await;
        let none = FoldStep {
            batch: step.batch.clone().map(|batch| store::fold::BatchRow { shares: 0, ..batch }),
            ..step.clone()
        };
        let error = db.store.fold(none).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused { code, .. } if code == "23514"), "{error}");
        assert!(error.to_string().contains("shares"), "{error}");
        // Of a table that is not there, of a row that is there already, of a program's error.
        db.sql("ALTER TABLE segments RENAME TO hidden").unwrap();
        let error = db.store.fold(step.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::Query(_)) && error.to_string().contains("segments"), "{error}");
        db.sql("ALTER TABLE hidden RENAME TO segments").unwrap();
        if db.is_postgres() {
            for code in ["P0001", "53100", "25006"] {
                refuse(db, "worker_identities", "NEW.worker = 'a'", code);
                let error = db.store.fold(step.clone()).await.unwrap_err();
                assert!(matches!(error, StoreError::Query(_)), "{error}");
                assert!(error.to_string().contains(&format!("SQLSTATE {code}")), "{error}");
                mend(db, "worker_identities");
            }
        }
        assert_eq!(db.store.host_folded(log.host).await.unwrap(), Seq::ZERO);
        db.store.fold(step.clone()).await.unwrap();
        // A number that is no number of this database's.
        let again = FoldStep { from: step.to, to: step.to.plus(1), candidate: None, ..step };
        let error = db.store.fold(again).await.unwrap_err();
        assert!(matches!(error, StoreError::Query(_)) && error.to_string().contains("23505"), "{error}");
    });
}

#[test]
fn an_error_carries_the_databases_own_words_and_no_password() {
    for_each_database(async |db| {
        refuse(db, "meta", "NEW.key = 'bad'", "P0001");
        let text = db.store.meta_set("bad", "geheim").await.unwrap_err().to_string();
        assert!(text.contains("not this one"), "{text}");
        if db.is_postgres() {
            assert!(text.contains("detail: it says something") && text.contains("hint: leave it"), "{text}");
        }
        assert!(!text.contains("geheim") && !text.contains('\n') && !text.contains("postgres:"), "{text}");
    });
}

fn aside(item: ItemRef, first: u64, last: u64, records: u64, body: &[u8]) -> Aside {
    let records = AsideRecords { item, first: Seq(first), last: Seq(last), records, body: body.to_vec() };
    Aside { records: vec![records], retried: Vec::new() }
}

fn new_item(kind: &'static str, seq: u64) -> ItemRef {
    ItemRef::New(NewItem { kind, seq: Seq(seq), definition: b"who".to_vec(), why: "no\0t this one".to_owned() })
}

#[test]
fn what_is_set_aside_moves_with_the_position_and_goes_on_in_one_row() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        let (host, store) = (log.host, &db.store);
        log.share(0, EPOCH, 10);
        let first = FoldStep { aside: aside(new_item("line", 2), 2, 4, 3, b"abc"), to: Seq(4), ..log.step() };
        store.fold(first.clone()).await.unwrap();
        assert!(store.fold(first.clone()).await.is_err(), "a step is written once");
        let items = store.set_aside_list().await.unwrap();
        assert_eq!((items.len(), items[0].records, items[0].why.as_str()), (1, 3, "no\u{fffd}t this one"));
        let step = |from, to, aside| FoldStep {
            from: Seq(from),
            to: Seq(to),
            batch: None,
            segments: vec![],
            aside,
            ..first.clone()
        };
        let known = || ItemRef::Known(items[0].id);
        store.fold(step(4, 5, aside(known(), 5, 5, 1, b"d"))).await.unwrap();
        let row = store.set_aside_rows(host, 0, 10).await.unwrap().remove(0);
        assert_eq!((row.first, row.last, row.records, row.body.as_slice()), (Seq(2), Seq(5), 4, b"abcd".as_slice()));
        // A full row is followed by another one.
        store.fold(step(5, 505, aside(known(), 6, 505, 500, b"e"))).await.unwrap();
        assert_eq!(store.set_aside_rows(host, 0, 10).await.unwrap().len(), 2);
        let state = store.set_aside_state(host).await.unwrap();
        assert_eq!((state.items[0].records, state.items[0].is_released, state.released), (504, false, None));
        assert_eq!(store.set_aside_next(host).await.unwrap(), None);

        assert_eq!(store.set_aside_retry(None, at(EPOCH)).await.unwrap(), 1);
        assert_eq!(store.set_aside_retry(Some(items[0].id), at(EPOCH)).await.unwrap(), 0);
        let state = store.set_aside_state(host).await.unwrap();
        assert_eq!((state.items[0].is_released, state.released), (true, Some((Seq(2), Seq(505)))));
        assert_eq!(store.set_aside_next(host).await.unwrap(), Some(row.clone()));
        // What is being tried again does not grow.
        store.fold(step(505, 506, aside(known(), 506, 506, 1, b"f"))).await.unwrap();
        let rows = store.set_aside_rows(host, 0, 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.records).collect::<Vec<_>>(), [4, 500, 1]);
        let retried = |first| {
            let retried = Retried { row: row.id, first: Seq(first), minute: Minute(9) };
            Aside { records: vec![], retried: vec![retried] }
        };
        store.fold(step(506, 510, retried(507))).await.unwrap();
        assert!(matches!(store.fold(step(510, 514, retried(511))).await, Err(StoreError::Conflict { .. })));
        assert_eq!(store.set_aside_row(host, row.id).await.unwrap().unwrap().retried, Some((Seq(507), Minute(9))));
        assert_eq!(store.set_aside_next(host).await.unwrap().map(|row| row.id), Some(rows[1].id));
        assert_eq!(store.set_aside_list().await.unwrap()[0].records, 501);
        let around = store.set_aside_around(host, Seq(3)).await.unwrap();
        assert_eq!(around.iter().map(|row| row.id).collect::<Vec<_>>(), [row.id]);
    });
}

#[test]
fn a_row_that_is_refused_keeps_no_other_row_out() {
    for_each_database(async |db| {
        refuse(db, "meta", "NEW.value = 'bad'", "22000");
        let put = async |rows: &[(String, &'static str)]| {
            // All or nothing, as a statement is.
            let values = rows.iter().map(|(key, value)| format!("('{key}', '{value}')")).collect::<Vec<_>>().join(", ");
            db.sql(&format!("INSERT INTO meta (key, value) VALUES {values}")).map_err(StoreError::from)
        };
        let value = |n: usize| if n % 9 == 4 { "bad" } else { "good" };
        let parts = put_in_parts((0..40).map(|n| (n.to_string(), value(n))).collect(), put).await;
        assert_eq!((parts.stored.len(), parts.left.len(), parts.is_about_rows), (36, 4, true));
        assert!(parts.left.iter().all(|(_, value)| *value == "bad"));
        assert!(parts.error.unwrap().to_string().contains("not this one"));
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM meta WHERE value = 'good'"), 36);
        // Where hardly anything goes in, the rest waits.
        let parts = put_in_parts((100..400).map(|n| (n.to_string(), "bad")).collect(), put).await;
        assert_eq!((parts.stored.len(), parts.left.len(), parts.is_about_rows), (0, 300, false));
        let parts = put_in_parts(vec![1, 2, 3], async |_: &[i32]| Err(StoreError::NoConnection)).await;
        assert_eq!((parts.left, parts.is_about_rows), (vec![1, 2, 3], false));
    });
}

#[test]
fn a_database_of_another_encoding_is_refused_and_left_alone() {
    let scratch = Scratch::postgres();
    let Scratch::Postgres { cluster, name } = &scratch else { unreachable!() };
    for encoding in ["LATIN1", "SQL_ASCII"] {
        sql(cluster, &format!("DROP DATABASE {name}")).unwrap();
        let create =
            format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        sql(cluster, &create).unwrap();
        for outcome in [Store::migrate(&scratch.url()).err(), Store::open(&scratch.url(), 2).err()] {
            let Some(OpenError::Encoding { .. }) = &outcome else { panic!("{outcome:?}") };
            let text = outcome.unwrap().to_string();
            assert!(text.contains(encoding) && text.contains("UTF8") && text.contains("createdb"), "{text}");
        }
        sql(&scratch.url(), "CREATE TABLE __diesel_schema_migrations (x INT)").unwrap();
    }
}

#[test]
fn a_template_alone_can_be_tried() {
    for_each_database(async |db| {
        let (log, step) = step(db).await;
        refuse(db, "templates", "NEW.height = 7", "22000");
        let alone = FoldStep {
            to: step.from,
            lines: vec![],
            templates: vec![template(7)],
            batch: None,
            segments: vec![],
            verdicts: vec![],
            rejects: vec![],
            candidate: None,
            ..step
        };
        assert!(db.store.fold(alone.clone()).await.unwrap_err().refusal().is_some());
        db.store.fold(FoldStep { templates: vec![template(8)], ..alone }).await.unwrap();
        assert_eq!(db.store.host_folded(log.host).await.unwrap(), Seq::ZERO);
    });
}
