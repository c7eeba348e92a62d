//! Pages of blocks and payouts.
use chain::TxId;
use serde_json::{Value, json};
use store::blocks::BlockState;
use store::payouts::{IntentChange, IntentState};
use units::Height;

use crate::common::log::{EPOCH, Log, at, hash, line};
use crate::common::money::{NOW, atoms, fund, intent, intent_id, later, lease, line as paid, reserved};
use crate::site::{Site, address, on_each_site};

/// Blocks 1 and 2 of the first address, block 1 seen in the chain.
async fn with_blocks(site: &Site<'_>) {
    let store = &site.db.store;
    let mut log = Log::new(store, "host", vec![line(&address(0), "rig-01")]).await;
    for n in [1, 2] {
        log.template = crate::common::log::template(1_006 + n);
        let minute = EPOCH + u32::try_from(n).unwrap();
        let share = log.share(0, minute, 2_500);
        store.fold(log.candidate(&hash(n), 0, share, minute)).await.unwrap();
    }
    let epoch = lease(site.db, "treasury").await;
    let block = store.block_find(&hash(1)).await.unwrap().unwrap();
    store.block_move(epoch, block.id, BlockState::Candidate, BlockState::Seen).await.unwrap();
}

async fn heights(site: &Site<'_>, query: &str) -> (Vec<u64>, Value) {
    let body = site.get(&format!("/api/blocks{query}")).await.json();
    let items = body["items"].as_array().unwrap_or_else(|| panic!("{query}: {body}"));
    (items.iter().map(|item| item["height"].as_u64().unwrap()).collect(), body["page"].clone())
}

#[test]
fn a_block_is_shown_with_its_progress_and_without_its_finders_name() {
    on_each_site(
        |_| {},
        async |site| {
            with_blocks(site).await;
            site.sample().await;
            let body = site.get("/api/blocks?limit=10").await.json();
            let finder = address(0);
            let expected = json!({
                "height": 1_007, "hash": hash(1), "difficulty": 5_000,
                "finder": format!("{}…{}", &finder[..6], &finder[finder.len() - 4..]), "finder_worker": Value::Null,
                "reward": 7_200_000_000_u64, "found_at": at(EPOCH + 1).to_string(),
                "timestamp": at(EPOCH + 1).to_string(), "state": "seen", "confirmations": 3,
                "confirmations_required": 60, "confirmed": false, "orphaned": false, "paid_out": false,
                "effort_pct": 50.0, "effort_band": { "label": "on pace", "tone": "ok" }, "duration_seconds": 0,
                "hold_reason": Value::Null,
            });
            assert_eq!(body["items"][1], expected);
            assert_eq!(body["items"][0]["effort_pct"], json!(50.0));
            assert_eq!(body["page"], json!({ "limit": 10, "offset": 0, "returned": 2, "total": 2 }));
        },
    );
}

#[test]
fn a_block_that_another_one_displaced_is_shown_as_that_at_once() {
    on_each_site(
        |_| {},
        async |site| {
            with_blocks(site).await;
            let epoch = site.db.number("SELECT epoch AS n FROM leases");
            for state in ["candidate", "seen", "credited"] {
                site.db.sql(&format!("UPDATE blocks SET state = '{state}' WHERE height = 1007")).unwrap();
                let block = site.db.store.block_find(&hash(1)).await.unwrap().unwrap();
                site.db.store.block_displaced(epoch, block.id, Some(Height::new(1_009))).await.unwrap();
                site.sample().await;
                let shown = site.get("/api/blocks?limit=10").await.json()["items"][1].clone();
                let shown = ["state", "confirmations", "confirmed", "orphaned"].map(|key| shown[key].clone());
                assert_eq!(shown, [json!("displaced"), json!(0), json!(false), json!(true)], "{state}");
                assert_eq!(heights(site, "?status=orphaned").await.0, [1_007]);
                assert_eq!(heights(site, "?status=pending").await.0, [1_008]);
                let pool = site.get("/api/stats").await.json()["pool"].clone();
                assert_eq!((&pool["orphaned_blocks"], &pool["total_blocks"]), (&json!(1), &json!(0)), "{pool}");
                site.db.store.block_displaced(epoch, block.id, None).await.unwrap();
            }
            site.sample().await;
            assert_eq!(heights(site, "?status=orphaned").await.0, [0_u64; 0]);
        },
    );
}

#[test]
fn a_list_takes_limit_offset_status_and_finder() {
    on_each_site(
        |_| {},
        async |site| {
            with_blocks(site).await;
            site.sample().await;
            let page = |limit: u64, offset: u64, returned: u64, total: u64| json!({ "limit": limit, "offset": offset, "returned": returned, "total": total });
            assert_eq!(heights(site, "").await, (vec![1_008, 1_007], page(25, 0, 2, 2)));
            assert_eq!(heights(site, "?limit=1").await, (vec![1_008], page(1, 0, 1, 2)));
            assert_eq!(heights(site, "?limit=1&offset=1").await, (vec![1_007], page(1, 1, 1, 2)));
            assert_eq!(heights(site, "?limit=0&offset=5").await, (vec![], page(1, 5, 0, 2)));
            assert_eq!(heights(site, "?limit=999&offset=99999999").await, (vec![], page(200, 1_000_000, 0, 2)));
            assert_eq!(heights(site, "?status=pending").await, (vec![1_008, 1_007], page(25, 0, 2, 2)));
            assert_eq!(heights(site, "?status=paid&limit=5").await, (vec![], page(5, 0, 0, 0)));
            let own = format!("?finder={}&limit=1", address(0));
            assert_eq!(heights(site, &own).await, (vec![1_008], page(1, 0, 1, 2)));
            assert_eq!(heights(site, &format!("?finder={}", address(1))).await, (vec![], page(25, 0, 0, 0)));
            assert_eq!(
                heights(site, "?paged=true&sort=height_desc").await.0.len(),
                2,
                "unknown parameters are left alone"
            );
        },
    );
}

#[test]
fn a_bad_parameter_is_named() {
    on_each_site(
        |_| {},
        async |site| {
            for (query, named) in [
                ("limit=abc", "limit: "),
                ("limit=-1", "limit: "),
                ("offset=1.5", "offset: "),
                ("limit=", "limit: "),
                ("status=nice", "status: "),
                ("finder=9fKq", "finder: "),
                ("finder=%00", "finder: "),
            ] {
                for list in ["blocks", "payouts/recent"] {
                    let answer = site.get(&format!("/api/{list}?{query}")).await;
                    assert_eq!(answer.status, 400, "{list}?{query}");
                    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                    assert!(detail.starts_with(named), "{query}: {detail}");
                }
            }
        },
    );
}

#[test]
fn payouts_are_listed_without_their_recipients() {
    on_each_site(
        |_| {},
        async |site| {
            let store = &site.db.store;
            let epoch = lease(site.db, "one").await;
            fund(site.db, epoch, "f1", "A", 1_000, NOW).await;
            fund(site.db, epoch, "f2", "B", 600, NOW).await;
            let intent = intent(&intent_id(1), vec![paid("A", 900, 870), paid("B", 600, 590)]);
            store.intent_reserve(epoch, intent.clone(), reserved(&intent), NOW).await.unwrap();
            let txid = TxId([0xaa; 32]);
            let sent = IntentChange {
                state: Some(IntentState::Broadcast),
                sent: Some((txid, atoms(38), later(5))),
                attention: Some(Some("wallet at 10.0.0.7 said: no".into())),
                ..IntentChange::default()
            };
            store.intent_change(epoch, &intent.id, IntentState::Reserved, sent).await.unwrap();
            site.sample().await;
            let body = site.get("/api/payouts/recent").await;
            let expected = json!({
                "intent_id": intent.id, "state": "broadcast", "total_amount": 1_460, "total_fee": 38,
                "recipient_count": 2, "tx_hashes": [txid], "timestamp": later(5).to_string(), "confirmed": false,
                "attention": "an operator looks at this payout",
            });
            assert_eq!(body.json()["items"][0], expected);
            assert!(!body.body.contains("10.0.0.7"));
        },
    );
}

#[test]
fn first_pages_stay_when_the_database_goes() {
    on_each_site(
        |_| {},
        async |site| {
            with_blocks(site).await;
            site.sample().await;
            site.db.sql("ALTER TABLE blocks RENAME TO gone").unwrap();
            site.sample().await;
            assert_eq!(heights(site, "?limit=1").await.0, [1_008]);
            assert_eq!(site.get("/api/stats").await.status, 200);
            let answer = site.get("/api/blocks?status=paid").await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
            assert_eq!(answer.json()["detail"], json!("temporarily unavailable"));
            assert!(!answer.body.contains("blocks"), "{}", answer.body);
        },
    );
}
