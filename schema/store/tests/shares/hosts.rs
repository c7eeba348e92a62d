//! Which hosts blocks wait for, over starts and stops; and what a log or a database lacks.
use std::time::Duration;

use store::StoreError;
use store::hosts::{GapKind, HostOpening, LogGap};
use units::{HostId, PolicyId, Seq, Timestamp};

use crate::common::log::{EPOCH, Log, at, hash, line};
use crate::common::money::lease;
use crate::common::{TestDb, for_each_database};

/// Before every find of these tests.
fn early() -> Timestamp {
    at(EPOCH).minus(Duration::from_secs(300))
}

/// A log whose last record is a find at this minute.
async fn find(db: &TestDb, log: &mut Log, n: u64, minute: u32) {
    let share = log.share(0, minute, 10);
    db.store.fold(log.candidate(&hash(n), 0, share, minute)).await.unwrap();
}

async fn lagging(db: &TestDb, epoch: i64, n: u64) -> Vec<String> {
    let block = db.store.block_find(&hash(n)).await.unwrap().unwrap();
    db.store.block_window_close(epoch, block.id).await.unwrap()
}

async fn waiting(db: &TestDb, name: &str) -> u64 {
    db.store.host_find(name).await.unwrap().unwrap().waiting_blocks
}

fn opening(name: &str, at: Timestamp, end: Option<u64>) -> HostOpening {
    HostOpening { name: name.to_owned(), at, begins: at, end: end.map(Seq) }
}

#[test]
fn no_block_waits_for_a_host_that_was_closed_with_everything_folded() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let mut other = Log::new(&db.store, "other", vec![line("carol", "c")]).await;
        other.share(0, EPOCH - 1, 3);
        other.share(0, EPOCH + 2, 4);
        db.store.fold(other.step()).await.unwrap();
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        find(db, &mut log, 1, EPOCH + 2).await;
        assert_eq!(lagging(db, epoch, 1).await, ["other"]);
        assert_eq!(waiting(db, "other").await, 1);
        assert!(!db.store.host_close(other.host, Seq(3), at(EPOCH + 2)).await.unwrap(), "a record is not folded");
        assert_eq!(lagging(db, epoch, 1).await, ["other"]);
        assert!(db.store.host_close(other.host, Seq(2), at(EPOCH + 2)).await.unwrap());
        assert_eq!(waiting(db, "other").await, 0);
        // Found while it ran, and while it did not.
        find(db, &mut log, 2, EPOCH + 3).await;
        for n in [1, 2] {
            assert!(lagging(db, epoch, n).await.is_empty());
            let block = db.store.block_find(&hash(n)).await.unwrap().unwrap();
            let work = db.store.block_window_work(block.id).await.unwrap().0;
            let of_carol = work.iter().find(|work| work.address == "carol").unwrap();
            assert_eq!(of_carol.provisional.get(), 7, "what it logged counts");
        }
    });
}

#[test]
fn a_host_that_opens_again_is_waited_for_by_what_is_found_from_then_on() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let other = db.store.host_register("other", early()).await.unwrap();
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        find(db, &mut log, 1, EPOCH).await;
        assert!(db.store.host_close(other, Seq::ZERO, at(EPOCH + 1)).await.unwrap());
        find(db, &mut log, 2, EPOCH + 2).await;
        // Between two finds, closed and opened and closed and opened.
        for minute in [4, 6] {
            assert_eq!(db.store.host_open(opening("other", at(EPOCH + minute), Some(0))).await.unwrap(), other);
            if minute == 4 {
                assert!(db.store.host_close(other, Seq::ZERO, at(EPOCH + 5)).await.unwrap());
            }
        }
        find(db, &mut log, 3, EPOCH + 7).await;
        assert!(lagging(db, epoch, 1).await.is_empty() && lagging(db, epoch, 2).await.is_empty());
        assert_eq!(lagging(db, epoch, 3).await, ["other"]);
        // A restart without a clean stop changes nothing.
        db.store.host_open(opening("other", at(EPOCH + 9), Some(0))).await.unwrap();
        assert_eq!(lagging(db, epoch, 3).await, ["other"]);
        assert_eq!(db.store.hosts_open().await.unwrap().len(), 2);
    });
}

#[test]
fn a_closed_host_whose_log_has_more_than_an_older_database_is_waited_for_from_before() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let other = db.store.host_register("other", early()).await.unwrap();
        db.store.host_close(other, Seq::ZERO, at(EPOCH)).await.unwrap();
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        find(db, &mut log, 1, EPOCH + 2).await;
        db.store.host_open(opening("other", at(EPOCH + 9), Some(5))).await.unwrap();
        assert_eq!(lagging(db, epoch, 1).await, ["other"]);
        // The same for one that the database does not know at all.
        let new = HostOpening { begins: early(), ..opening("unknown", at(EPOCH + 9), Some(5)) };
        db.store.host_open(new).await.unwrap();
        assert_eq!(lagging(db, epoch, 1).await, ["other", "unknown"]);
        assert_eq!(db.store.audit_blocks(|_| store::audit::Priced::default()).await.unwrap(), []);
    });
}

#[test]
fn a_host_that_replaces_another_begins_behind_what_that_one_has() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "old", vec![line("alice", "a")]).await;
        log.share(0, EPOCH, 10);
        db.store.fold(log.step()).await.unwrap();
        db.store.host_replace("new", log.host, Seq(1), at(EPOCH + 1)).await.unwrap();
        let new = db.store.host_find("new").await.unwrap().unwrap();
        assert_eq!((new.folded, new.replaces.clone()), (Seq(1), Some(("old".to_owned(), Seq(1)))));
        assert!(!new.is_open(), "a start that dies here holds no block");
        assert_eq!(db.store.host_open(opening("new", at(EPOCH + 1), Some(1))).await.unwrap(), new.id);
        // Its log goes on, with a verdict on a share of the other one.
        let old = std::mem::replace(&mut log.host, new.id);
        log.verdict(1, "rejected");
        log.share(0, EPOCH + 1, 20);
        db.store.fold(log.step()).await.unwrap();
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM verdicts"), 0);
        assert_eq!(db.number(&format!("SELECT work AS n FROM hosts WHERE id = {old}")), 10);
        assert_eq!(db.number(&format!("SELECT work AS n FROM hosts WHERE id = {}", new.id)), 20);
        assert_eq!(db.store.gap_totals().await.unwrap(), (0, 0), "nothing was given up");
        assert_eq!(db.store.audit_shares().await.unwrap(), []);
    });
}

#[test]
fn the_fold_goes_on_behind_a_gap_that_was_given_up_and_what_refers_into_it_is_left_out() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        log.share(0, EPOCH, 10);
        db.store.fold(log.step()).await.unwrap();
        let lost = [log.share(0, EPOCH + 1, 20), log.share(0, EPOCH + 1, 30)];
        drop(log.step());
        let accept =
            async |folded, oldest| db.store.gap_accept(log.host, Seq(folded), Seq(oldest), at(EPOCH + 2)).await;
        assert!(matches!(accept(2, 4).await, Err(StoreError::Conflict { .. })), "it was somewhere else");
        assert!(matches!(accept(1, 2).await, Err(StoreError::Conflict { .. })), "there is none");
        accept(1, 4).await.unwrap();
        let gap = LogGap { first: Seq(2), last: Seq(3), kind: GapKind::Lost };
        assert_eq!(
            (db.store.gap_list(log.host).await.unwrap(), db.store.gap_totals().await.unwrap()),
            (vec![gap], (1, 2))
        );

        log.verdict(lost[0], "rejected");
        log.verdict(lost[1], "verified");
        let kept = log.share(0, EPOCH + 3, 40);
        log.verdict(kept, "verified");
        db.store.fold(log.candidate(&hash(1), 0, lost[1], EPOCH + 3)).await.unwrap();
        let block = db.store.block_find(&hash(1)).await.unwrap().unwrap();
        assert_eq!(block.finder, None, "its share is not there");
        let (works, _) = db.store.block_window_work(block.id).await.unwrap();
        let works: Vec<_> = works.iter().map(|work| (work.verified.get(), work.provisional.get())).collect();
        assert_eq!(works, [(40, 10)]);
        assert!(lagging(db, epoch, 1).await.is_empty());
        assert_eq!(db.store.audit_shares().await.unwrap(), []);
    });
}

#[test]
fn the_number_of_a_policy_that_only_the_log_knows_is_not_given_to_other_rules() {
    for_each_database(async |db| {
        let first = db.store.policy_ensure("{}", at(EPOCH)).await.unwrap();
        let logged = PolicyId(first.0 + 7);
        let next = db.store.policy_ensure_above("{\"scheme\":\"solo\"}", logged, at(EPOCH)).await.unwrap();
        assert_eq!(next, PolicyId(logged.0 + 1));
        assert_eq!(db.store.policy_ensure_above("{}", logged, at(EPOCH)).await.unwrap(), first, "it is known");
        let other = db.store.policy_ensure("{\"scheme\":\"pplns\"}", at(EPOCH)).await.unwrap();
        assert_eq!(other, PolicyId(next.0 + 1));
    });
}

#[test]
fn a_counter_goes_on_above_what_somebody_remembers() {
    for_each_database(async |db| {
        assert_eq!(db.store.meta_count_above("era", 0).await.unwrap(), 1);
        assert_eq!(db.store.meta_count("era").await.unwrap(), 2);
        assert_eq!(db.store.meta_count_above("era", 9).await.unwrap(), 10);
        assert_eq!(db.store.meta_count_above("era", 4).await.unwrap(), 11);
    });
}

#[test]
fn an_epoch_of_a_lease_is_not_given_again_by_a_database_that_was_put_back() {
    for_each_database(async |db| {
        let before = lease(db, "one").await;
        db.sql("UPDATE leases SET expires_at = 1").unwrap();
        let frozen = lease(db, "two").await;
        assert!(frozen > before);
        // As in a copy that was made long before.
        db.sql("UPDATE leases SET epoch = 3, holder = 'zero', expires_at = 1").unwrap();
        while db.store.now().await.unwrap().ms() <= frozen {}
        let after = lease(db, "three").await;
        assert!(after > frozen, "{after} {frozen}");
    });
}

#[test]
fn cleaning_up_does_not_wait_for_a_host_that_is_closed() {
    for_each_database(async |db| {
        let closed = db.store.host_register("closed", early()).await.unwrap();
        let open = db.store.host_register("open", early()).await.unwrap();
        db.store.host_caught_up(open, Seq::ZERO, at(EPOCH)).await.unwrap();
        assert_eq!(db.store.retention_facts().await.unwrap().folded_until, Some(early()));
        db.store.host_close(closed, Seq::ZERO, at(EPOCH)).await.unwrap();
        assert_eq!(db.store.retention_facts().await.unwrap().folded_until, Some(at(EPOCH)));
        assert_ne!(closed, HostId(0));
    });
}
