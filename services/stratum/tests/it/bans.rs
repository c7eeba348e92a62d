//! Bans: who gets one, and how long it stays.
use std::sync::Arc;
use std::time::Duration;

use keepers::BanKeeper;
use messages::write_behind::StoreBans;
use runtime::{ActorRef, Host, Limits, OnExhausted, Policy, Restart};
use store::Store;
use stratum::{Bans, CloseReason};

use crate::miner::{Miner, address, error, login_line, share_ok};
use crate::pool::{Pool, now, template, with_pool};

const POLICY: Policy = Policy {
    restart: Restart::Permanent,
    max_restarts: 5,
    within: Duration::from_secs(60),
    backoff_min: Duration::from_millis(10),
    backoff_max: Duration::from_secs(1),
    on_exhausted: OnExhausted::StopHost,
    stall_after: Duration::from_secs(60),
};

async fn get_banned(pool: &Pool) {
    for _ in 0..9 {
        let mut abuser = Miner::from(pool, "10.0.0.1").await;
        abuser.send(&"x".repeat(9000)).await;
        assert_eq!(abuser.line().await, error(0, "request exceeds 8192 bytes"));
        assert!(abuser.is_closed().await);
    }
    pool.until("the ban", |pool| pool.metrics.stratum_bans.get() == 1).await;
}

#[test]
fn abuse_bans_the_client_alone_and_neither_its_address_nor_what_is_connected() {
    with_pool(
        |_| (),
        async |pool| {
            pool.mine(&template(41_237));
            let mut honest = Miner::from(pool, "10.0.0.1").await;
            let job = honest.log_in(1, "rig").await;
            get_banned(pool).await;
            honest.send(&job.submit(2, 0)).await;
            assert_eq!(honest.line().await, share_ok(2));
            let mut back = Miner::from(pool, "10.0.0.1").await;
            back.send(&login_line(3, &address(1), "rig")).await;
            let answer = back.line().await;
            assert!(
                answer.starts_with(r#"{"id":3,"error":"banned until 2"#) && answer.contains("line_too_long"),
                "{answer}"
            );
            Miner::from(pool, "10.0.0.2").await.log_in(1, "rig").await;
            pool.until("the count", |pool| pool.closed(CloseReason::Banned) == 1).await;
        },
    );
}

#[test]
fn a_ban_survives_a_restart_and_a_deleted_row_lifts_it() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("pool.sqlite").display());
    Store::migrate(&url).unwrap();
    let store = Store::open(&url, 2).unwrap();
    with_pool(
        |_| (),
        async |pool| {
            get_banned(pool).await;
            let keeper = ActorRef::<BanKeeper>::unbound(Limits { messages: 4, urgent: 4 });
            let mut host = Host::default();
            let bans = Arc::clone(&pool.bans);
            host.start(&keeper, POLICY, BanKeeper::factory(bans, store.clone(), Arc::new(now)));
            host.tick(&keeper, Duration::from_millis(10), || StoreBans);
            let stored = async {
                while store.bans_list(now()).await.unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(crate::pool::PATIENCE, stored).await.unwrap();
            host.run(async {}, Duration::from_secs(5)).await.unwrap();
        },
    );
    let stored = runtime::block_on(store.bans_list(now())).unwrap();
    assert_eq!((stored[0].client.as_str(), stored[0].reason.as_str()), ("10.0.0.1", "line_too_long"));
    let restored = |setup: &mut crate::pool::Setup| {
        let bans = Bans::new(Vec::new(), Arc::clone(&setup.metrics), now());
        runtime::block_on(BanKeeper::load(&bans, &store, now())).unwrap();
        setup.bans = Arc::new(bans);
    };
    with_pool(restored, async |pool| {
        assert_eq!(pool.metrics.stratum_bans.get(), 1);
        let mut back = Miner::from(pool, "10.0.0.1").await;
        back.send(&login_line(3, &address(1), "rig")).await;
        assert!(back.line().await.contains("banned until"));
    });
}
