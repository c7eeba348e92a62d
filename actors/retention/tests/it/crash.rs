//! `kill -9` in the middle of a clean-up: its successor ends where it would have ended.
use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use store::Store;
use units::Timestamp;

use crate::common::{TestDb, for_each_database};
use crate::harness::{Cleaner, Pool, audit, kept};

/// Where the child finds the database, the epoch, and what time it is.
const WORK: &str = "RETENTION_TEST_WORK";
const DAYS: u32 = 12;

/// Nothing by itself: the body of the process that is killed.
#[test]
fn cleaner_process() {
    let Ok(work) = std::env::var(WORK) else { return };
    let [url, epoch, now] = <[&str; 3]>::try_from(work.split(' ').collect::<Vec<_>>()).unwrap();
    let now = Timestamp::from_ms(now.parse().unwrap());
    let store = Store::open(url, 2).unwrap();
    let mut cleaner = Cleaner::new(store, epoch.parse().unwrap(), Arc::new(move || now), kept(1, 1));
    eprintln!("begins");
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(cleaner.run());
}

fn spawn(db: &TestDb, pool: &Pool<'_>) -> Child {
    let work = format!("{} {} {}", db.url, pool.epoch, pool.clock()().ms());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::cleaner_process", "--nocapture", "--test-threads=1"])
        .env(WORK, work)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "begins"), "it got as far as to begin");
    child
}

/// Everything that a clean-up leaves, as one number per table: equal tables give equal numbers.
fn left(db: &TestDb) -> Vec<i64> {
    let sum =
        |of: &str, table: &str| db.number(&format!("SELECT CAST(COALESCE(SUM({of}), 0) AS BIGINT) AS n FROM {table}"));
    vec![
        sum("(miner_id + 1) * (shares * 3 + work * 5 + verified * 7 + refuted * 11 + day % 1000)", "share_days"),
        sum("(miner_id + 1) * (count * 3 + day % 1000)", "reject_days"),
        sum("payouts * 3 + net * 5 + fee * 7 + day % 1000", "payout_days"),
        sum("start_seq * 3 + last_seq * 5 + total_work * 7 + span", "segments"),
        sum("share_seq", "verdicts"),
        sum("count + identity_id", "rejects"),
        sum("first_seq", "share_batches"),
        sum("id", "worker_identities"),
        sum("id", "miners"),
        sum("height", "templates"),
        sum("created_height", "intents"),
    ]
}

#[test]
fn a_clean_up_that_is_killed_again_and_again_ends_like_one_that_is_not() {
    let ends = RefCell::new(Vec::new());
    for_each_database(async |db| {
        let mut pool = Pool::new(db).await;
        for _ in 0..DAYS {
            pool.day(None).await;
        }
        let begun = left(db);
        let mut killed_inside = 0;
        for kill in 0..60u64 {
            let before = left(db);
            let mut child = spawn(db, &pool);
            // Into ever other steps; the wait is the chance, not a synchronisation.
            std::thread::sleep(Duration::from_millis(3 + kill * 2));
            child.kill().unwrap();
            child.wait().unwrap();
            let after = left(db);
            killed_inside += u32::from(after != before);
            assert_eq!(audit(&db.store).await, [], "after kill {kill}");
            assert_eq!(pool.totals().await, pool.sums, "after kill {kill}");
            if after == before && killed_inside > 3 {
                break;
            }
        }
        assert!(killed_inside > 1, "most kills came before or after the work");
        let mut child = spawn(db, &pool);
        assert!(child.wait().unwrap().success());
        assert_eq!((pool.totals().await, audit(&db.store).await), (pool.sums.clone(), vec![]));
        assert_ne!(left(db), begun);
        ends.borrow_mut().push(left(db));
    });
    for_each_database(async |db| {
        let mut pool = Pool::new(db).await;
        for _ in 0..DAYS {
            pool.day(None).await;
        }
        pool.cleaner(kept(1, 1)).run().await;
        ends.borrow_mut().push(left(db));
    });
    // The killed ones, then those that were not, each on both databases.
    let ends = ends.into_inner();
    assert_eq!(ends[..2], ends[2..]);
}
