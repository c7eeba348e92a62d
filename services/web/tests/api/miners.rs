//! What one miner sees, and what its program polls.
use chain::{Address, Network};
use serde_json::{Value, json};

use crate::common::log::{EPOCH, Log, at, hash, line};
use crate::common::money::{NOW, fund, intent, intent_id, lease, line as paid, reserved};
use crate::site::{address, on_each_site};

#[test]
fn the_miner_client_reads_unsigned_integers_from_its_balance() {
    on_each_site(
        |_| {},
        async |site| {
            let me = address(0);
            let epoch = lease(site.db, "one").await;
            fund(site.db, epoch, "f1", &me, 2_531_000_000, NOW).await;
            let payout = intent(&intent_id(1), vec![paid(&me, 1_000_000_000, 999_000_000)]);
            site.db.store.intent_reserve(epoch, payout.clone(), reserved(&payout), NOW).await.unwrap();
            let body = site.get(&format!("/api/miner/{me}/balance?include_pending_estimate=false")).await.json();
            let expected = json!({
                "address": me,
                "balance": {
                    "pending": 2_531_000_000_u64, "pending_confirmed": 2_531_000_000_u64,
                    "pending_queued": 1_000_000_000, "pending_unqueued": 1_531_000_000, "paid": 0,
                },
                "pending_estimate": Value::Null,
                "pending_payout": {
                    "address": me, "amount": 999_000_000, "initiated_at": NOW.to_string(), "state": "reserved",
                },
            });
            assert_eq!(body, expected);
        },
    );
}

#[test]
fn an_unknown_address_has_a_balance_of_zeros_and_no_page() {
    on_each_site(
        |_| {},
        async |site| {
            for unknown in [address(0), "nonsense".to_owned(), "%00".to_owned()] {
                let answer = site.get(&format!("/api/miner/{unknown}/balance")).await;
                assert_eq!(answer.status, 200, "{unknown}");
                let balance = &answer.json()["balance"];
                assert_eq!((&balance["pending_confirmed"], &balance["paid"]), (&json!(0), &json!(0)));
            }
            let answer = site.get(&format!("/api/miner/{}?include_pending_estimate=false", address(0))).await;
            assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/problem+json")));
            let body = answer.json();
            // The miner's program reads the balance from this one too, whatever the status is.
            assert_eq!((&body["balance"]["pending_confirmed"], &body["balance"]["paid"]), (&json!(0), &json!(0)));
            assert_eq!(body["error"], json!("this address has not mined here"));
            let answer = site.get("/api/miner/nonsense").await;
            assert_eq!(answer.status, 400);
            assert!(answer.json()["detail"].as_str().unwrap().starts_with("address: "));
        },
    );
}

#[test]
fn a_miner_sees_its_work_its_blocks_and_its_payouts() {
    on_each_site(
        |_| {},
        async |site| {
            let (me, other) = (address(0), address(1));
            let store = &site.db.store;
            let mut log = Log::new(store, "host", vec![line(&me, "rig-01"), line(&me, ""), line(&other, "x")]).await;
            let share = log.share(0, EPOCH, 945);
            log.share(1, EPOCH + 5, 495);
            log.share(2, EPOCH + 5, 70_000);
            log.reject(0, EPOCH + 5, "stale job", 4);
            store.fold(log.candidate(&hash(1), 0, share, EPOCH + 5)).await.unwrap();
            let epoch = lease(site.db, "one").await;
            fund(site.db, epoch, "f1", &me, 1_000, NOW).await;
            let payout = intent(&intent_id(1), vec![paid(&me, 900, 870)]);
            store.intent_reserve(epoch, payout.clone(), reserved(&payout), NOW).await.unwrap();

            let body = site.get(&format!("/api/miner/{me}")).await.json();
            // Ten minutes and a half since the minute of the first worker's share, five and a half of the other's.
            assert_eq!(body["hashrate"], json!(945.0 / 630.0 + 495.0 / 330.0));
            assert_eq!(body["mining_since"], json!(at(EPOCH).to_string()));
            assert_eq!((&body["total_accepted"], &body["total_rejected"]), (&json!(2), &json!(4)));
            let rig = json!({
                "worker": "rig-01", "hashrate": 945.0 / 630.0, "accepted": 1, "rejected": 4,
                "last_share_at": at(EPOCH).to_string(),
            });
            assert_eq!((&body["workers"][0], body["workers"].as_array().unwrap().len()), (&rig, 2));
            let block = &body["blocks_found"][0];
            assert_eq!((&block["finder"], &block["finder_worker"]), (&json!(me), &json!("rig-01")));
            let row = json!({
                "amount": 870, "fee": 30, "tx_hash": Value::Null, "timestamp": NOW.to_string(), "confirmed": false,
            });
            assert_eq!(body["blocks_found_total"], json!(1));
            assert_eq!(body["payouts"], json!([row]));
            assert_eq!(body["balance"]["pending"], json!(1_000));
            assert_eq!(body["pending_payout"]["amount"], json!(870));
            assert!(!site.get(&format!("/api/miner/{me}")).await.body.contains(&other));
        },
    );
}

#[test]
fn a_miner_that_comes_back_after_a_day_sees_the_hashrate_that_the_pool_counts() {
    on_each_site(
        |_| {},
        async |site| {
            let me = address(0);
            let mut log = Log::new(&site.db.store, "host", vec![line(&me, "rig")]).await;
            log.share(0, EPOCH - 24 * 60, 5_000);
            log.share(0, EPOCH + 9, 810);
            site.db.store.fold(log.step()).await.unwrap();
            site.sample().await;
            let (own, pool) = (site.get(&format!("/api/miner/{me}")).await, site.get("/api/stats").await);
            assert_eq!(own.json()["hashrate"], json!(9.0));
            assert_eq!(pool.json()["pool"]["hashrate"], json!(9.0));
        },
    );
}

#[test]
fn the_legacy_form_of_an_address_shows_the_same_miner() {
    on_each_site(
        |_| {},
        async |site| {
            let me = address(0);
            let legacy = Address::parse(&me, &Network::Mainnet).unwrap().legacy_text();
            let store = &site.db.store;
            let mut log = Log::new(store, "host", vec![line(&me, "rig")]).await;
            let share = log.share(0, EPOCH, 600);
            store.fold(log.candidate(&hash(1), 0, share, EPOCH)).await.unwrap();
            let epoch = lease(site.db, "one").await;
            fund(site.db, epoch, "f1", &me, 1_000, NOW).await;
            let payout = intent(&intent_id(1), vec![paid(&me, 900, 870)]);
            store.intent_reserve(epoch, payout.clone(), reserved(&payout), NOW).await.unwrap();
            for path in ["", "/balance"] {
                let get = async |address: &str| site.get(&format!("/api/miner/{address}{path}")).await.json();
                let (one, other) = (get(&me).await, get(&legacy).await);
                assert_eq!(one, other);
                assert_eq!((&other["address"], &other["balance"]["pending"]), (&json!(me), &json!(1_000)));
                assert_eq!(other["pending_payout"]["address"], json!(me));
            }
            let blocks = site.get(&format!("/api/blocks?finder={legacy}")).await.json();
            assert_eq!(blocks["page"]["total"], json!(1), "{blocks}");
        },
    );
}
