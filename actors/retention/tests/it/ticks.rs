//! When the actor works, and for whom.
use std::sync::Arc;
use std::time::Duration;

use messages::retention::RetentionTick;
use retention::{Retention, RetentionParts};
use runtime::{ActorRef, Host, Limits, OnExhausted, Policy, Restart};
use settings::RetentionSettings;

use crate::common::for_each_database;
use crate::harness::{Pool, kept, midnight};

#[test]
fn it_rests_between_two_clean_ups_and_without_a_lease() {
    for_each_database(async |db| {
        let mut pool = Pool::new(db).await;
        pool.day(None).await;
        let mut cleaner = pool.cleaner(kept(90, 365));
        cleaner.lease.send_replace(None);
        cleaner.tick().await;
        assert_eq!(cleaner.metrics.retention_runs_total.get(), 0);
        cleaner.lease.send_replace(Some(pool.epoch));
        cleaner.run().await;
        assert!(cleaner.metrics.retention_last_run_timestamp_seconds.get() > 0);
        for _ in 0..3 {
            cleaner.tick().await;
        }
        assert_eq!(cleaner.metrics.retention_runs_total.get(), 1);
    });
}

#[test]
fn an_old_epoch_is_refused_and_a_new_one_goes_on() {
    for_each_database(async |db| {
        let mut pool = Pool::new(db).await;
        for _ in 0..4 {
            pool.day(None).await;
        }
        let mut cleaner = pool.cleaner(kept(1, 1));
        cleaner.lease.send_replace(Some(pool.epoch - 1));
        cleaner.tick().await;
        assert_eq!(pool.count("retention_marks"), 0);
        cleaner.lease.send_replace(Some(pool.epoch));
        cleaner.run().await;
        assert_eq!(
            db.number("SELECT minute AS n FROM retention_marks WHERE kind = 'details'"),
            i64::from(midnight(2).0)
        );
        assert_eq!(pool.audit().await, []);
    });
}

#[test]
fn what_is_blank_is_kept_for_ever_but_invented_names_are_not() {
    for_each_database(async |db| {
        let mut pool = Pool::new(db).await;
        for _ in 0..5 {
            pool.day(None).await;
        }
        let settings = RetentionSettings { shares: None, payouts: None, ..RetentionSettings::default() };
        let (batches, intents) = (pool.count("share_batches"), pool.count("intents"));
        pool.cleaner(settings).run().await;
        assert_eq!((pool.count("share_batches"), pool.count("intents")), (batches, intents));
        assert_eq!((pool.count("share_days"), pool.count("payout_days")), (0, 0));
        assert_eq!(pool.count("worker_identities"), 4 + 1);
        assert!(pool.count("segments WHERE span = 10") > 0);
        assert_eq!((pool.totals().await, pool.audit().await), (pool.sums.clone(), vec![]));
    });
}

#[test]
fn a_supervised_cleaner_cleans() {
    for_each_database(async |db| {
        let mut pool = Pool::new(db).await;
        for _ in 0..3 {
            pool.day(None).await;
        }
        let (parts, metrics) = parts(&pool);
        let runs = Arc::clone(&metrics);
        let outcome = std::thread::spawn(move || {
            runtime::block_on(async move {
                let mut host = Host::default();
                let cleaner = ActorRef::<Retention>::unbound(Limits { messages: 8, urgent: 16 });
                host.start(&cleaner, policy(), Retention::factory(parts));
                host.tick(&cleaner, Duration::from_millis(20), || RetentionTick);
                let done = async {
                    while runs.retention_runs_total.get() == 0 {
                        tokio::task::yield_now().await;
                    }
                };
                host.run(done, Duration::from_secs(10)).await
            })
        });
        outcome.join().unwrap().unwrap();
        assert_eq!(pool.audit().await, []);
    });
}

fn parts(pool: &Pool<'_>) -> (RetentionParts, Arc<retention::RetentionMetrics>) {
    let metrics = Arc::default();
    let parts = RetentionParts {
        settings: kept(1, 1),
        window: crate::common::log::WINDOW,
        store: pool.db.store.clone(),
        lease: tokio::sync::watch::channel(Some(pool.epoch)).1,
        clock: pool.clock(),
        metrics: Arc::clone(&metrics),
    };
    (parts, metrics)
}

fn policy() -> Policy {
    Policy {
        restart: Restart::Permanent,
        max_restarts: 1,
        within: Duration::from_secs(60),
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(1),
        on_exhausted: OnExhausted::StopHost,
        stall_after: Duration::from_secs(60),
    }
}
