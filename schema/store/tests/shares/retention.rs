//! Clean-ups: what they remove, what they keep, and that no audit sees them.
use std::time::Duration;

use store::StoreError;
use store::audit::Priced;
use store::retention::{DAY, Mark, Span};
use units::{Height, LineId, MinerId, Minute};

use crate::common::log::{EPOCH, Log, at, hash, line};
use crate::common::money::{fund, lease};
use crate::common::{TestDb, for_each_database};

mod random;

mod steps;

use steps::{clean, forget, merge};

async fn audit(db: &TestDb) -> Vec<store::audit::Difference> {
    let mut found = db.store.audit_shares().await.unwrap();
    found.extend(db.store.audit_blocks(|_| Priced::default()).await.unwrap());
    found
}

/// The first minute of a day.
const MIDNIGHT: u32 = EPOCH / DAY * DAY + DAY;

#[test]
fn what_is_removed_is_in_the_summaries_of_its_day() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("bob", "b")]).await;
        let first = log.share(0, MIDNIGHT - 1, 10);
        let second = log.share(1, MIDNIGHT - 1, 20);
        log.share(0, MIDNIGHT, 40);
        log.verdict(first, "verified");
        log.verdict(second, "rejected");
        log.reject(0, MIDNIGHT - 1, "stale job", 3);
        log.reject(0, MIDNIGHT - 1, "duplicate share", 1);
        log.reject(1, MIDNIGHT, "stale job", 5);
        db.store.fold(log.step()).await.unwrap();
        clean(db, epoch, Minute(MIDNIGHT)).await;
        let days = db.store.share_days(None).await.unwrap();
        assert_eq!(days.len(), 1);
        assert_eq!((days[0].day, days[0].shares, days[0].work.get()), (MIDNIGHT / DAY - 1, 2, 30));
        let judged = (days[0].verified, days[0].verified_work.get(), days[0].refuted, days[0].refuted_work.get());
        assert_eq!(judged, (1, 10, 1, 20));
        let alice = db.store.share_days(Some("alice")).await.unwrap();
        assert_eq!((alice[0].shares, alice[0].work.get(), alice[0].verified, alice[0].refuted), (1, 10, 1, 0));
        assert!(db.store.share_days(Some("nobody")).await.unwrap().is_empty());
        let reasons = async |of: Option<&str>| {
            let days = db.store.reject_days(of).await.unwrap();
            days.into_iter().map(|day| (day.reason, day.count)).collect::<Vec<_>>()
        };
        let both = [("duplicate share".to_owned(), 1), ("stale job".to_owned(), 3)];
        assert_eq!(reasons(None).await, both);
        assert_eq!(reasons(Some("alice")).await, both);
        assert!(reasons(Some("bob")).await.is_empty());
        // The one batch reaches into the day that is kept.
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM share_batches"), 1);
        assert_eq!(audit(db).await, []);
        clean(db, epoch, Minute(MIDNIGHT)).await;
        assert_eq!(db.store.share_days(None).await.unwrap(), days, "a second time changes nothing");
    });
}

#[test]
fn a_log_that_comes_late_is_merged_and_summed_up_all_the_same() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        let mut late = Log::new(&db.store, "late", vec![line("alice", "a"), line("bob", "b")]).await;
        log.share(0, MIDNIGHT - 9, 10);
        log.share(0, MIDNIGHT, 10);
        db.store.fold(log.step()).await.unwrap();
        clean(db, epoch, Minute(MIDNIGHT)).await;
        late.share(0, MIDNIGHT - 7, 5);
        late.share(1, MIDNIGHT - 6, 5);
        late.share(1, MIDNIGHT - 5, 5);
        db.store.fold(late.step()).await.unwrap();
        assert_eq!(audit(db).await, []);
        clean(db, epoch, Minute(MIDNIGHT)).await;
        let days = db.store.share_days(None).await.unwrap();
        assert_eq!((days.len(), days[0].shares, days[0].work.get()), (1, 4, 25));
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM segments WHERE span = 1"), 1, "that of the day that is kept");
        assert_eq!(audit(db).await, []);
    });
}

#[test]
fn names_that_never_had_a_share_are_forgotten_and_may_come_back() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("invented", "x")]).await;
        log.share(0, MIDNIGHT, 10);
        log.reject(1, MIDNIGHT, "low difficulty share", 4);
        db.store.fold(log.step()).await.unwrap();
        let names = || {
            (db.number("SELECT COUNT(*) AS n FROM worker_identities"), db.number("SELECT COUNT(*) AS n FROM miners"))
        };
        forget(db, epoch, Minute(MIDNIGHT)).await;
        assert_eq!(names(), (2, 2), "not while it is refused");
        forget(db, epoch, Minute(MIDNIGHT + 1)).await;
        assert_eq!(names(), (1, 1));
        let totals = db.store.pool_totals().await.unwrap();
        assert_eq!((totals.shares, totals.rejects), (1, 4));
        assert_eq!(db.store.reject_days(None).await.unwrap()[0].count, 4);
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM reject_days WHERE miner_id <> 0"), 0);
        log.reject(1, MIDNIGHT + 9, "stale job", 1);
        log.share(1, MIDNIGHT + 9, 5);
        db.store.fold(log.step()).await.unwrap();
        assert_eq!(names(), (2, 2));
        assert_eq!(db.store.pool_totals().await.unwrap().rejects, 5);
        assert_eq!(audit(db).await, []);
    });
}

#[test]
fn a_line_without_work_is_forgotten_and_its_miner_keeps_what_it_did() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let lines = vec![line("alice", "old"), line("alice", "new"), line("bob", "old"), line("carol", "finder")];
        let mut log = Log::new(&db.store, "host", lines).await;
        log.share(0, MIDNIGHT - 9, 10);
        log.share(2, MIDNIGHT - 9, 10);
        log.reject(0, MIDNIGHT - 9, "stale job", 2);
        let found = log.share(3, MIDNIGHT - 8, 10);
        db.store.fold(log.candidate(&hash(1), 3, found, MIDNIGHT - 8)).await.unwrap();
        log.share(1, MIDNIGHT, 7);
        db.store.fold(log.step()).await.unwrap();
        clean(db, epoch, Minute(MIDNIGHT)).await;
        assert_eq!(
            db.number("SELECT COUNT(*) AS n FROM worker_identities"),
            2,
            "that with work, and that of the finder"
        );
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM miners"), 2, "bob never earned anything");
        let alice = db.store.miner_summary("alice", Minute(MIDNIGHT)).await.unwrap().unwrap();
        assert_eq!((alice.gone_shares, alice.gone_rejects, alice.workers.len()), (1, 2, 1));
        assert_eq!((alice.first_share_at, alice.workers[0].recent_work.get()), (Some(at(MIDNIGHT - 9)), 7));
        log.share(0, MIDNIGHT + 5, 3);
        db.store.fold(log.step()).await.unwrap();
        let alice = db.store.miner_summary("alice", Minute(MIDNIGHT)).await.unwrap().unwrap();
        let recent: u64 = alice.workers.iter().map(|worker| worker.recent_work.get()).sum();
        assert_eq!((alice.workers.len(), recent), (2, 10));
        assert_eq!(db.store.pool_totals().await.unwrap().shares, 5);
        assert_eq!(audit(db).await, []);
    });
}

#[test]
fn an_old_epoch_cleans_nothing() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let minute = Minute(MIDNIGHT);
        let old = epoch - 1;
        let fenced = [
            db.store.retention_mark(old, Mark::Details, minute).await,
            db.store.rejects_prune(old, minute, 1).await.map(drop),
            db.store.verdicts_prune(old, minute, 1).await.map(drop),
            db.store.batches_prune(old, minute, 1).await.map(drop),
            db.store.templates_prune(old, minute.start(), 1).await.map(drop),
            db.store.payouts_prune(old, minute.start(), Height::new(1), 1).await.map(drop),
            db.store.lines_forget(old, LineId(0), 1, minute).await.map(drop),
            db.store.miners_forget(old, MinerId(0), 1, minute.start()).await.map(drop),
            db.store.segments_merge(old, Span::Day, minute, minute, LineId(0), 1).await.map(drop),
        ];
        for outcome in fenced {
            assert!(matches!(outcome, Err(StoreError::Fenced { .. })), "{outcome:?}");
        }
    });
}

#[test]
fn marks_only_rise() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        for (to, is) in [(5, 5), (9, 9), (7, 9)] {
            db.store.retention_mark(epoch, Mark::Days, Minute(to)).await.unwrap();
            assert_eq!(db.store.retention_marked(Mark::Days).await.unwrap(), Minute(is));
        }
        assert_eq!(db.store.retention_marked(Mark::Payouts).await.unwrap(), Minute(0));
    });
}

#[test]
fn totals_that_do_not_add_up_after_a_clean_up_are_found() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("alice", "b")]).await;
        let old = log.share(0, MIDNIGHT - 9, 10);
        log.verdict(old, "verified");
        log.reject(1, MIDNIGHT - 9, "stale job", 1);
        db.store.fold(log.step()).await.unwrap();
        log.share(1, MIDNIGHT, 10);
        db.store.fold(log.step()).await.unwrap();
        clean(db, epoch, Minute(MIDNIGHT)).await;
        fund(db, epoch, "fund", "alice", 5, at(MIDNIGHT)).await;
        assert_eq!(db.number("SELECT pruned_shares + pruned_verified + gone_shares AS n FROM hosts"), 3);
        let audit = async || {
            let mut found = audit(db).await;
            found.extend(db.store.audit_entries().await.unwrap());
            found.extend(db.store.audit_payouts().await.unwrap());
            found.into_iter().map(|difference| difference.check).collect::<Vec<_>>()
        };
        assert_eq!(audit().await, Vec::<&str>::new());
        let day = "INSERT INTO payout_days (day, payouts, recipients, gross, net, fee) VALUES (1, 1, 1, 5, 5, 0)";
        for (harm, heal, check) in [
            (
                "UPDATE hosts SET shares = shares + 1",
                "UPDATE hosts SET shares = shares - 1",
                "host's totals are those of its lines",
            ),
            (
                "UPDATE hosts SET gone_work = 9",
                "UPDATE hosts SET gone_work = 10",
                "host's totals are those of its lines",
            ),
            ("UPDATE hosts SET refuted = 1", "UPDATE hosts SET refuted = 0", "host counts its verdicts"),
            (
                "UPDATE hosts SET pruned_verified = 0",
                "UPDATE hosts SET pruned_verified = 1",
                "host counts its verdicts",
            ),
            (
                "UPDATE hosts SET pruned_work = 9",
                "UPDATE hosts SET pruned_work = 10",
                "batches hold the work of all lines",
            ),
            (
                "UPDATE worker_identities SET pruned_rejects = 0",
                "UPDATE worker_identities SET pruned_rejects = 1",
                "line's rejects are the sum",
            ),
            (
                "UPDATE accounts SET from_blocks = 1",
                "UPDATE accounts SET from_blocks = 0",
                "account counts what blocks gave it",
            ),
            (day, "DELETE FROM payout_days", "payouts sent what the books say"),
        ] {
            db.sql(harm).unwrap();
            assert!(audit().await.contains(&check), "{harm}: {check}");
            db.sql(heal).unwrap();
            assert_eq!(audit().await, Vec::<&str>::new(), "{heal}");
        }
    });
}
