//! What the pool is, how it does, whether it can work.
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chain::{BlockId, HeaderBase, MerkleRoot, Target};
use messages::conditions::ConditionKind;
use messages::facts::{CurrentJob, DaemonHealth, DaemonState, Template};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use units::{Amount, Difficulty, Height};

use crate::common::log::{EPOCH, Log, at, line};
use crate::site::{Site, address, now, on_each_site, with_drills};

fn job(height: u64, difficulty: u64) -> Arc<CurrentJob> {
    let difficulty = Difficulty::new(difficulty).unwrap();
    let template = Template {
        local_id: 1,
        header_base: HeaderBase::from_bytes([0; 92]),
        height: Height::new(height),
        prev_hash: BlockId::default(),
        merkle_root: MerkleRoot::default(),
        network_target: Target::from_difficulty(difficulty),
        network_difficulty: difficulty,
        reward: Amount::ZERO,
        reward_address: String::new(),
        daemon_id: None,
        issuer: None,
        block: RawValue::from_string("{}".to_owned()).unwrap(),
        mempool_generation: None,
        fetched_at: now(),
        retired_at: OnceLock::new(),
        defined_in: 0.into(),
    };
    Arc::new(CurrentJob { template: Arc::new(template), push: 1, known_at: Instant::now() })
}

#[test]
fn info_tells_the_terms() {
    on_each_site(
        |parts| parts.keys = vec!["k".into()],
        async |site| {
            let info = site.get("/api/info").await.json();
            let expected = json!({
                "pool_name": "blocknet pool", "stratum_port": 3333, "api_auth_configured": true, "pool_fee_pct": 0.0,
                "pool_fee_flat": 0.0, "min_payout_amount": 0.1, "min_payout_atoms": 10_000_000,
                "blocks_before_payout": 60, "payout_scheme": "pplns", "pplns_window_duration": "6h",
                "sample_rate": 0.1, "warmup_shares": 20, "min_sample_every": 10,
                "payout_provisional_cap_multiplier": 19, "started_at": at(EPOCH).to_string(),
            });
            for (name, value) in expected.as_object().unwrap() {
                assert_eq!(&info[name], value, "{name}");
            }
        },
    );
}

#[test]
fn every_route_that_info_lists_is_answered_and_every_protected_one_wants_a_key() {
    let check = async |site: &Site<'_>, protected: &[&str]| {
        let info = site.get("/api/info").await.json();
        let listed = |list: &str| -> Vec<String> {
            info[list].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned()).collect()
        };
        let public = listed("public_endpoints");
        assert!(public.len() >= 6, "{public:?}");
        for path in public {
            let path = path.replace("{address}", &address(0));
            let answer = site.get(&path).await;
            // An address that never mined has a page of its own, which is no missing route.
            let found = answer.status == 200 || answer.json()["error"] == json!("this address has not mined here");
            assert!(found, "{path}: {}", answer.body);
            assert_eq!(site.get(&format!("{path}/")).await.status, answer.status, "a slash at the end changes nothing");
        }
        assert_eq!(listed("protected_endpoints"), protected);
        for path in protected {
            assert_eq!(site.ask("POST", path, &[], "").await.status, 401, "{path}");
            let with_key = site.ask("POST", path, &[("x-api-key", "second")], "").await;
            assert_ne!(with_key.status, 404, "{path}");
        }
    };
    on_each_site(with_drills, async |site| check(site, &["/api/devnet/drill"]).await);
    on_each_site(|_| {}, async |site| check(site, &[]).await);
}

#[test]
fn stats_have_the_fields_that_clients_read() {
    on_each_site(
        |_| {},
        async |site| {
            // What the miner's display needs is a number before anything is known.
            let stats = site.get("/api/stats").await.json();
            assert_eq!(stats["chain"]["network_hashrate"], json!(0.0));
            assert_eq!(stats["chain"]["current_job_height"], Value::Null);
            assert_eq!((&stats["round"]["effort_pct"], &stats["round"]["round_start"]), (&Value::Null, &Value::Null));

            let mut log = Log::new(&site.db.store, "host", vec![line(&address(0), "rig"), line(&address(1), "")]).await;
            let first = log.share(0, EPOCH + 4, 585);
            log.share(1, EPOCH + 9, 315);
            log.verdict(first, "verified");
            log.reject(0, EPOCH + 9, "stale job", 2);
            site.db.store.fold(log.step()).await.unwrap();
            site.knobs.jobs.send_replace(Some(job(1_011, 6_000)));
            site.sample().await;
            let stats = site.get("/api/stats").await.json();
            let pool = &stats["pool"];
            let counts = ["miners", "workers", "shares_accepted", "shares_rejected", "total_shares", "blocks_found"];
            assert_eq!(counts.map(|name| pool[name].as_u64()), [2, 2, 2, 2, 4, 0].map(Some));
            let each =
                async |n: usize| site.get(&format!("/api/miner/{}", address(n))).await.json()["hashrate"].clone();
            let (one, two) = (each(0).await.as_f64().unwrap(), each(1).await.as_f64().unwrap());
            assert_eq!((one, two), (585.0 / 390.0, 315.0 / 90.0), "since the minutes of their first shares");
            assert_eq!(pool["hashrate"], json!(one + two), "the pool has the sum of its miners");
            assert_eq!((&pool["shares_verified"], &pool["shares_provisional"]), (&json!(1), &json!(1)));
            assert_eq!(pool["last_share_at"], json!(at(EPOCH + 9).to_string()));
            for name in ["pool_fees_collected", "paid_to_miners_total", "orphaned_blocks", "total_blocks"] {
                assert!(pool[name].is_u64(), "{name}: {}", pool[name]);
            }
            let chain = json!({
                "current_job_height": 1_011, "network_difficulty": 6_000, "network_hashrate": 20.0,
                "daemon_chain_height": Value::Null, "daemon_syncing": false,
            });
            assert_eq!(stats["chain"], chain);
            assert_eq!((&stats["round"]["round_work"], &stats["round"]["effort_pct"]), (&json!(900), &json!(15.0)));
            assert_eq!(stats["round"]["round_start"], json!(at(EPOCH + 4).to_string()), "the first share's time");
            assert_eq!(stats["ledger"], json!({ "durable_seq": 12, "folded_seq": 10 }));
            assert_eq!(stats["stored_at"], json!(now().to_string()));
        },
    );
}

#[test]
fn a_pool_that_all_miners_have_left_has_no_hashrate_after_an_hour() {
    on_each_site(
        |_| {},
        async |site| {
            let mut log = Log::new(&site.db.store, "host", vec![line(&address(0), "rig")]).await;
            for minute in 0..60 {
                log.share(0, EPOCH + minute, 600);
            }
            site.db.store.fold(log.step()).await.unwrap();
            let rate = async |minute: u32| {
                site.sample_at(at(EPOCH + minute)).await;
                site.get("/api/stats").await.json()["pool"]["hashrate"].as_f64().unwrap()
            };
            let (full, half, last, gone) = (rate(60).await, rate(90).await, rate(119).await, rate(120).await);
            assert!((9.9..10.1).contains(&full) && (4.8..5.2).contains(&half), "{full} {half}");
            assert!(last < 0.2 && gone == 0.0, "{last} {gone}");
        },
    );
}

#[test]
fn figures_go_on_while_the_database_takes_no_writes() {
    on_each_site(
        |_| {},
        async |site| {
            site.knobs.jobs.send_replace(Some(job(1, 60)));
            site.db.sql("ALTER TABLE snapshots RENAME TO gone").unwrap();
            site.sample_at(at(EPOCH + 11)).await;
            assert_eq!(site.get("/api/stats").await.json()["stored_at"], json!(at(EPOCH + 11).to_string()));
            assert_eq!(site.get("/readyz").await.status, 200, "who only reads needs no write");
        },
    );
}

#[test]
fn what_is_not_ready_says_why() {
    on_each_site(
        |_| {},
        async |site| {
            assert_eq!(site.get("/livez").await.json(), json!({ "alive": true }));
            let reasons = async || {
                let answer = site.get("/readyz").await;
                let body = answer.json();
                assert_eq!(answer.status == 200, body["ready"] == json!(true), "{body}");
                body["reasons"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|text| text.as_str().unwrap().to_owned())
                    .collect::<Vec<String>>()
            };
            let none: Vec<String> = Vec::new();
            assert_eq!(reasons().await, ["no job yet"]);
            site.knobs.jobs.send_replace(Some(job(1, 60)));
            assert_eq!(reasons().await, none);
            site.knobs.tip.send_modify(|tip| tip.syncing = true);
            assert_eq!(reasons().await, ["daemon is catching up with the network"]);
            site.knobs.tip.send_modify(|tip| tip.reachable = false);
            assert_eq!(reasons().await, ["daemon does not answer"]);
            site.knobs.tip.send_modify(|tip| (tip.reachable, tip.syncing) = (true, false));
            site.knobs.tip.send_modify(|tip| tip.behind = Some(Height::new(1_012)));
            let behind = "daemon's chain, at height 1010, has less work than one seen before, at height 1012: no block \
                          is credited and nothing is paid until it has caught up";
            assert_eq!(reasons().await, [behind]);
            site.knobs.tip.send_modify(|tip| tip.behind = None);
            site.knobs.counts.log_backlog_bytes.set(u64::MAX);
            assert_eq!(reasons().await, ["share log is full"]);
            site.knobs.counts.log_backlog_bytes.set(0);
            site.db.sql("ALTER TABLE hosts RENAME TO gone").unwrap();
            site.sample().await;
            assert_eq!(reasons().await, ["database does not answer"]);
            site.db.sql("ALTER TABLE gone RENAME TO hosts").unwrap();
            site.sample().await;
            assert_eq!(reasons().await, none);
        },
    );
}

#[test]
fn conditions_tell_their_details_to_operators_only() {
    on_each_site(
        |parts| parts.keys = vec!["k".into()],
        async |site| {
            site.knobs.jobs.send_replace(Some(job(1, 60)));
            let held = ConditionKind::PayoutsHeld;
            site.knobs.conditions.set(held, "payouts are paused", "payouts are paused: /srv/pause exists");
            let answer = site.get("/readyz").await;
            assert_eq!((answer.status, answer.json()["reasons"].clone()), (503, json!(["payouts are paused"])));
            assert_eq!(answer.json()["conditions"], Value::Null);
            let answer = site.ask("GET", "/readyz", &[("x-api-key", "k")], "").await;
            let expected = json!([{
                "condition": "payouts_held", "since": now().to_string(), "text": "payouts are paused",
                "detail": "payouts are paused: /srv/pause exists",
            }]);
            assert_eq!(answer.json()["conditions"], expected);
            site.knobs.conditions.clear(held);
            assert_eq!(site.get("/readyz").await.status, 200);
        },
    );
}

#[test]
fn a_broken_daemon_is_a_reason_only_while_it_is_the_chosen_one() {
    on_each_site(
        |_| {},
        async |site| {
            site.knobs.jobs.send_replace(Some(job(1, 60)));
            let daemon = |chosen, state| DaemonHealth {
                place: "http://10.1.2.3:8332".into(),
                chosen,
                state,
                height: Height::new(1),
                events: true,
                wallet_shut: false,
            };
            let foreign = DaemonState::ForeignAddress;
            site.knobs.daemons.send_replace(vec![daemon(false, foreign), daemon(true, DaemonState::Good)]);
            let answer = site.get("/readyz").await;
            assert_eq!(
                (answer.status, answer.json()["degraded"].clone()),
                (200, json!(["daemon 1 would pay another address than the pool's"]))
            );
            site.knobs.daemons.send_replace(vec![daemon(true, foreign), daemon(false, DaemonState::Away)]);
            let answer = site.get("/readyz").await;
            assert_eq!(answer.status, 503);
            assert_eq!(answer.json()["reasons"], json!(["daemon 1 would pay another address than the pool's"]));
            assert_eq!(answer.json()["degraded"], json!(["daemon 2 does not answer"]));
            assert!(!answer.body.contains("10.1.2.3"), "where daemons are is nobody's business");
            let shut = DaemonHealth { wallet_shut: true, ..daemon(true, DaemonState::Good) };
            site.knobs.daemons.send_replace(vec![shut]);
            let reasons = site.get("/readyz").await.json()["reasons"].clone();
            assert_eq!(reasons, json!(["daemon 1's wallet is not open, and the pool cannot open it"]));
        },
    );
}

#[test]
fn metrics_are_plain_text() {
    on_each_site(
        |_| {},
        async |site| {
            let answer = site.get("/metrics").await;
            assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
            assert!(answer.body.ends_with("meshpool_x 1\n"));
        },
    );
}

#[test]
fn a_drill_needs_a_key_and_a_development_network() {
    on_each_site(with_drills, async |site| {
        let ask =
            async |key: &str, body: &str| site.ask("POST", "/api/devnet/drill", &[("x-api-key", key)], body).await;
        assert_eq!(ask("wrong", r#"{"panic":"live"}"#).await.status, 401);
        assert_eq!(ask("second", r#"{"panic":"live"}"#).await.json(), json!({ "done": true }));
        assert_eq!(ask("second", r#"{"panic":"nobody"}"#).await.json(), json!({ "done": false }));
        assert_eq!(ask("second", r#"{"burn":"live"}"#).await.status, 400);
        assert_eq!(site.get("/api/devnet/drill").await.status, 405);
    });
    on_each_site(
        |parts| parts.keys = vec!["k".into()],
        async |site| {
            let answer = site.ask("POST", "/api/devnet/drill", &[("x-api-key", "k")], r#"{"panic":"live"}"#).await;
            assert_eq!(answer.status, 404);
        },
    );
}
