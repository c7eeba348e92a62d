//! From the log into the tables.
use store::StoreError;
use store::batch::ShareBatch;
use store::fold::FoldStep;
use units::Seq;

use crate::common::log::{EPOCH, Log, at, hash, line, template};
use crate::common::{TestDb, for_each_database};

async fn fold(db: &TestDb, step: FoldStep) {
    db.store.fold(step).await.unwrap();
}

/// The sum of a column of `segments`, or of `lines`.
fn sum(db: &TestDb, table: &str, column: &str) -> i64 {
    db.number(&format!("SELECT CAST(COALESCE(SUM({column}), 0) AS BIGINT) AS n FROM {table}"))
}

#[test]
fn a_host_is_registered_once() {
    for_each_database(async |db| {
        let first = db.store.host_register("here", at(EPOCH)).await.unwrap();
        assert_eq!(db.store.host_register("here", at(EPOCH + 1)).await.unwrap(), first);
        assert_ne!(db.store.host_register("there", at(EPOCH)).await.unwrap(), first);
        assert_eq!(db.store.host_folded(first).await.unwrap(), Seq::ZERO);
        assert!(matches!(db.store.host_folded(units::HostId(99)).await, Err(StoreError::Conflict { .. })));
    });
}

#[test]
fn a_step_moves_everything_at_once() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("bob", ""), line("alice", "b")]).await;
        for n in 0..30 {
            log.share(n % 3, EPOCH + u32::try_from(n / 15).unwrap(), 10 + n as u64);
        }
        log.reject(1, EPOCH, "stale job", 4);
        fold(db, log.step()).await;
        assert_eq!(db.store.host_folded(log.host).await.unwrap(), Seq(31));
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM miners"), 2);
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM worker_identities"), 3);
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM segments"), 6);
        assert_eq!(sum(db, "worker_identities", "shares"), 30);
        assert_eq!(sum(db, "worker_identities", "work"), 30 * 10 + 435);
        assert_eq!(sum(db, "segments", "work"), 30 * 10 + 435);
        assert_eq!(sum(db, "worker_identities", "rejects"), 4);
        assert_eq!(db.number("SELECT shares AS n FROM share_batches"), 30);
        assert_eq!(db.number("SELECT MIN(first_share_at) AS n FROM worker_identities"), at(EPOCH).ms());
        assert_eq!(db.number("SELECT MAX(last_share_at) AS n FROM worker_identities"), at(EPOCH + 1).ms());
        let stored = db.store.template_find(&log.template.merkle_root).await.unwrap().unwrap();
        assert_eq!(format!("{stored:?}"), format!("{:?}", log.template));
        assert!(db.store.template_find("none").await.unwrap().is_none());
    });
}

#[test]
fn a_step_that_does_not_follow_changes_nothing() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        log.share(0, EPOCH, 10);
        let first = log.step();
        fold(db, first.clone()).await;
        log.share(0, EPOCH, 10);
        let second = log.step();
        let unpriced =
            FoldStep { policy: units::PolicyId(99), templates: vec![template(1_001)], ..candidate_of(&second) };
        for (name, step) in [
            ("again", first),
            ("a gap", FoldStep { from: Seq(2), ..second.clone() }),
            ("backwards", FoldStep { to: Seq(0), ..second.clone() }),
            ("a line that it lacks", FoldStep { lines: Vec::new(), ..second.clone() }),
            ("a policy that is not there", unpriced),
            ("a template that it lacks", FoldStep { templates: Vec::new(), ..candidate_of(&second) }),
        ] {
            assert!(db.store.fold(step).await.is_err(), "{name}");
            assert_eq!(sum(db, "worker_identities", "work"), 10, "{name}");
            assert_eq!(db.number("SELECT COUNT(*) AS n FROM share_batches"), 1, "{name}");
        }
        fold(db, second).await;
        assert_eq!(sum(db, "worker_identities", "work"), 20);
    });
}

fn candidate_of(step: &FoldStep) -> FoldStep {
    let candidate = store::fold::CandidateRow {
        line: 0,
        template: 0,
        hash: hash(1),
        nonce: 1,
        share_seq: step.to,
        found_at: at(EPOCH),
        booked_until: at(EPOCH),
    };
    FoldStep { candidate: Some(candidate), ..step.clone() }
}

#[test]
fn two_that_fold_the_same_step_fold_it_once() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        log.share(0, EPOCH, 10);
        let step = log.step();
        let both = futures_util::future::join_all((0..4).map(|_| db.store.fold(step.clone()))).await;
        assert_eq!(both.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(both.iter().all(|outcome| matches!(outcome, Ok(()) | Err(StoreError::Conflict { .. }))), "{both:?}");
        assert_eq!(sum(db, "worker_identities", "work"), 10);
    });
}

#[test]
fn hosts_that_meet_the_same_new_miners_do_not_block_each_other() {
    for_each_database(async |db| {
        let lines: Vec<_> = (0..200).map(|n| line(&format!("miner{n}"), "")).collect();
        let mut steps = Vec::new();
        for host in 0..4 {
            let mut lines = lines.clone();
            lines.rotate_left(host * 50);
            let mut log = Log::new(&db.store, &format!("host{host}"), lines).await;
            (0..200).for_each(|n| {
                log.share(n, EPOCH, 3);
            });
            steps.push(log.step());
        }
        for outcome in futures_util::future::join_all(steps.into_iter().map(|step| db.store.fold(step))).await {
            outcome.unwrap();
        }
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM miners"), 200);
        assert_eq!(sum(db, "worker_identities", "work"), 2_400);
    });
}

#[test]
fn a_minute_goes_on_in_the_next_step() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        for _ in 0..3 {
            log.share(0, EPOCH, 5);
            log.share(0, EPOCH, 6);
            fold(db, log.step()).await;
        }
        log.share(0, EPOCH + 1, 7);
        fold(db, log.step()).await;
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM segments"), 2);
        let first = format!("FROM segments WHERE minute = {EPOCH}");
        assert_eq!(db.number(&format!("SELECT work AS n {first}")), 33);
        assert_eq!(db.number(&format!("SELECT start_seq AS n {first}")), 1);
        assert_eq!(db.number(&format!("SELECT last_seq AS n {first}")), 6);
        assert_eq!(db.number(&format!("SELECT total_work AS n FROM segments WHERE minute = {}", EPOCH + 1)), 40);
        assert_eq!(db.number(&format!("SELECT total_shares AS n FROM segments WHERE minute = {}", EPOCH + 1)), 7);
    });
}

#[test]
fn a_candidate_ends_the_segments_of_its_host() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("bob", "b")]).await;
        log.share(0, EPOCH, 5);
        let share = log.share(1, EPOCH, 6);
        fold(db, log.candidate(&hash(1), 1, share, EPOCH)).await;
        log.share(0, EPOCH, 7);
        log.share(0, EPOCH, 8);
        fold(db, log.step()).await;
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM segments"), 3);
        assert_eq!(db.number("SELECT closed_seq AS n FROM hosts"), 3);
        assert_eq!(db.number("SELECT end_seq AS n FROM block_windows"), 3);
        assert_eq!(sum(db, "segments", "work"), 26);
    });
}

#[test]
fn rejects_of_a_minute_add_up() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        for _ in 0..2 {
            log.reject(0, EPOCH, "stale job", 2);
            log.reject(0, EPOCH, "stale job", 3);
            log.reject(0, EPOCH, "duplicate share", 1);
            log.reject(0, EPOCH + 1, "stale job", 0);
            fold(db, log.step()).await;
        }
        assert_eq!(db.number("SELECT count AS n FROM rejects WHERE reason = 'stale job'"), 10);
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM rejects"), 2);
        assert_eq!(sum(db, "worker_identities", "rejects"), 12);
        assert_eq!(sum(db, "worker_identities", "shares"), 0);
    });
}

#[test]
fn the_first_verdict_counts_and_only_a_void_replaces_it() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        for _ in 0..4 {
            log.share(0, EPOCH, 5);
        }
        let number = "CAST(CASE verdict WHEN 'verified' THEN 1 WHEN 'rejected' THEN 2 ELSE 3 END AS BIGINT)";
        let said = |share: u64| format!("SELECT {number} AS n FROM verdicts WHERE share_seq = {share}");
        log.verdict(1, "verified");
        log.verdict(1, "rejected");
        log.verdict(2, "rejected");
        log.verdict(3, "verified");
        log.verdict(3, "voided");
        log.verdict(3, "verified");
        fold(db, log.step()).await;
        assert_eq!([1, 2, 3].map(|share| db.number(&said(share))), [1, 2, 3]);
        log.verdict(1, "voided");
        log.verdict(2, "verified");
        log.verdict(3, "rejected");
        log.verdict(4, "verified");
        fold(db, log.step()).await;
        assert_eq!([1, 2, 3, 4].map(|share| db.number(&said(share))), [3, 2, 3, 1]);
        assert_eq!(db.number("SELECT seq AS n FROM verdicts WHERE share_seq = 1"), 11);
        assert_eq!(db.number("SELECT seq AS n FROM verdicts WHERE share_seq = 3"), 9);
    });
}

#[test]
fn a_stored_batch_is_what_was_folded() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("bob", "b")]).await;
        for n in 0..50u32 {
            log.share(usize::from(n % 3 == 0), EPOCH + n / 10, 5);
        }
        let step = log.step();
        let body = step.batch.clone().unwrap().body;
        fold(db, step).await;
        let length = if db.is_postgres() { "octet_length(body)" } else { "length(body)" };
        let stored = db.number(&format!("SELECT CAST({length} AS BIGINT) AS n FROM share_batches"));
        assert_eq!(usize::try_from(stored).unwrap(), body.len());
        assert_eq!(ShareBatch::decode(&body).unwrap().shares.len(), 50);
    });
}

#[test]
fn odd_names_do_not_stop_the_fold() {
    for_each_database(async |db| {
        let names = ["", "it's", "a\0b", "\u{1f980}\\\"", "$1", "%s", "a\u{fffd}b"];
        let mut log = Log::new(&db.store, "host", names.map(|name| line("alice", name)).to_vec()).await;
        (0..names.len()).for_each(|n| {
            log.share(n, EPOCH, 1);
        });
        fold(db, log.step()).await;
        (0..names.len()).for_each(|n| {
            log.share(n, EPOCH, 1);
        });
        fold(db, log.step()).await;
        // A zero character cannot be stored; that name becomes the one that looks like it.
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM worker_identities"), 6);
        assert_eq!(sum(db, "worker_identities", "work"), 14);
        assert_eq!(sum(db, "segments", "shares"), 14);
    });
}

#[test]
fn a_segment_ends_with_the_last_share_of_whichever_connection_of_its_worker() {
    for_each_database(async |db| {
        // Each login is a line of the log; both are the same line of the database.
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("alice", "a")]).await;
        for connection in [0, 1, 1, 0] {
            log.share(connection, EPOCH, 10);
        }
        fold(db, log.step()).await;
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM worker_identities"), 1);
        assert_eq!(
            db.number("SELECT COUNT(*) AS n FROM segments WHERE start_seq = 1 AND last_seq = 4 AND shares = 4"),
            1
        );
        assert_eq!(db.store.audit_shares().await.unwrap(), []);
    });
}
