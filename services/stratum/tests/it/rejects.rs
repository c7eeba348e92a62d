//! Refused submits, counted through the log into the database.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use messages::conditions::Conditions;
use messages::share_ledger::{AppendEvents, AppendRefusal, Appended, Event, FoldNow};
use runtime::{ActorRef, Host, Limits, Message, OnExhausted, Policy, Recipient, Restart};
use share_ledger::{ShareLedger, ShareLedgerParts};
use share_log::LogDirectory;
use store::Store;
use tokio::sync::watch;

use crate::miner::{Miner, error, share_ok};
use crate::pool::{HASH_1, PATIENCE, Pool, Setup, now, template};

const POLICY: Policy = Policy {
    restart: Restart::Permanent,
    max_restarts: 0,
    within: Duration::from_secs(60),
    backoff_min: Duration::from_millis(10),
    backoff_max: Duration::from_secs(1),
    on_exhausted: OnExhausted::StopHost,
    stall_after: Duration::from_secs(60),
};

#[derive(QueryableByName, Debug, PartialEq, Eq)]
struct Row {
    #[diesel(sql_type = Text)]
    worker: String,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

const ROWS: &str = "SELECT l.worker, r.reason, CAST(SUM(r.count) AS BIGINT) AS count FROM rejects r \
                    JOIN worker_identities l ON l.id = r.identity_id GROUP BY l.worker, r.reason ORDER BY l.worker, r.reason";

/// Loses whatever it is told.
fn nobody<M: Message>() -> Recipient<M> {
    Recipient::from_fn(|_, reply| {
        drop(reply);
        Ok(())
    })
}

#[test]
fn rejects_are_counted_by_worker_and_reason_and_none_of_them_has_a_row_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool.sqlite").display().to_string();
    let url = format!("sqlite:{path}");
    Store::migrate(&url).unwrap();
    let store = Store::open(&url, 2).unwrap();
    runtime::block_on(async {
        let ledger = ActorRef::<ShareLedger>::unbound(Limits { messages: 64, urgent: 16 });
        let mut setup = Setup::new();
        let parts = ShareLedgerParts {
            directory: LogDirectory::open(&dir.path().join("log")).unwrap(),
            host: store.host_register("host", now()).await.unwrap(),
            policy: store.policy_ensure("{}", now()).await.unwrap(),
            store,
            network: chain::Network::Mainnet,
            capacity: ledger.capacity(),
            segment_max_bytes: 1 << 20,
            backlog_max_bytes: 1 << 30,
            window: Duration::from_secs(3600),
            clock: Arc::new(now),
            ids: Arc::clone(&setup.ids),
            metrics: Arc::default(),
            conditions: Arc::new(Conditions::new(Arc::new(now))),
            position: watch::channel(None).0,
            owner: Arc::default(),
            stall: Arc::default(),
            validation: nobody(),
            submitter: nobody(),
        };
        let mut host = Host::default();
        host.start(&ledger, POLICY, ShareLedger::factory(parts));
        host.tick(&ledger, Duration::from_millis(50), || FoldNow);
        (setup.ledger, setup.finder) = (Some(ledger.recipient()), Some(ledger.recipient()));
        setup.events = Some(ledger.recipient());
        let mut pool = Pool::start(setup);
        pool.mine(&template(41_237));
        for (n, worker) in [(1, "rig-1"), (2, "rig-2")] {
            let mut miner = Miner::connect(&pool).await;
            let job = miner.log_in(n, worker).await;
            miner.send(&job.submit(2, 0)).await;
            // The actor may still be opening its log.
            let opened = async {
                while miner.line().await != share_ok(2) {
                    miner.send(&job.submit(2, 0)).await;
                }
            };
            tokio::time::timeout(PATIENCE, opened).await.unwrap();
            for id in 3..3 + 50 * n {
                miner.send(&job.submit(id, 0)).await;
                assert_eq!(miner.line().await, error(id, "duplicate share"));
            }
            for id in [3, 4] {
                miner.send(&job.claim(id, 1, HASH_1)).await;
                assert_eq!(miner.line().await, error(id, "low difficulty share"));
            }
        }
        pool.drain(Duration::from_secs(10)).await;
        host.run(async {}, Duration::from_secs(10)).await.unwrap();
    });
    let mut conn = SqliteConnection::establish(&path).unwrap();
    let mut rows: Vec<Row> = diesel::sql_query(ROWS).load(&mut conn).unwrap();
    rows.retain(|row| row.reason != "other"); // While the log was being opened.
    let row = |worker: &str, reason: &str, count| Row { worker: worker.into(), reason: reason.into(), count };
    let low = "low difficulty share";
    let expected = [
        row("rig-1", "duplicate share", 50),
        row("rig-1", low, 2),
        row("rig-2", "duplicate share", 100),
        row("rig-2", low, 2),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn rejects_that_the_log_refuses_are_logged_later_and_none_twice() {
    runtime::block_on(async {
        let logged = Arc::new(Mutex::new(Vec::new()));
        let (times, mut asked) = watch::channel(0);
        let mut setup = Setup::new();
        let log = Arc::clone(&logged);
        setup.events = Some(Recipient::from_fn(move |message: AppendEvents, reply| {
            times.send_modify(|times| *times += 1);
            if *times.borrow() <= 2 {
                reply.send(Err(AppendRefusal::Full));
                return Ok(());
            }
            log.lock().unwrap().extend(message.0);
            reply.send(Ok(Appended { first: units::Seq(1), minute: units::Minute(1) }));
            Ok(())
        }));
        let mut pool = Pool::start(setup);
        pool.mine(&template(41_237));
        let mut miner = Miner::connect(&pool).await;
        let job = miner.log_in(1, "rig").await;
        miner.send(&job.submit(2, 0)).await;
        assert_eq!(miner.line().await, share_ok(2));
        let refuse = async |miner: &mut Miner, id| {
            miner.send(&job.submit(id, 0)).await;
            assert_eq!(miner.line().await, error(id, "duplicate share"));
        };
        for (refusals, ids) in [(1, 3..8), (3, 8..11)] {
            for id in ids {
                refuse(&mut miner, id).await;
            }
            tokio::time::timeout(PATIENCE, asked.wait_for(|times| *times >= refusals)).await.unwrap().unwrap();
        }
        pool.drain(Duration::from_secs(10)).await;
        let count = |event: &Event| if let Event::Rejects { count, .. } = event { u64::from(*count) } else { 0 };
        assert_eq!(logged.lock().unwrap().iter().map(count).sum::<u64>(), 8);
        assert_eq!(pool.metrics.rejects_uncounted_total.get(), 0);
    });
}
