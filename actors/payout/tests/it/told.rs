//! Every state that stops money is told: as a condition, and in the database for another process.
use daemon_sim::{Action, Fault, MineOrder, NetworkView, Phase, Routes};
use messages::conditions::ConditionKind::{PayoutAttention, PayoutsHeld, PayoutsPaused};
use settings::{DaemonEndpoint, NetworkFee, PayoutSettings};
use store::best_chain::BestChain;
use store::payouts::Hold;
use units::{Height, Timestamp};

use crate::database::Kind;
use crate::harness::{COIN, Harness, PASSWORD, address, settings};

async fn due() -> Harness {
    due_with(settings()).await
}

async fn due_with(settings: PayoutSettings) -> Harness {
    let mut harness = Harness::with(Kind::Sqlite, settings, |_| {}).await;
    harness.endow(3);
    harness.owe(&address(1), COIN).await;
    harness
}

async fn holds(harness: &Harness) -> Vec<Hold> {
    harness.store.payout_books().await.unwrap().holds.unwrap()
}

/// It is told, another process can read it, and it is over when `end` has happened.
async fn told(harness: &mut Harness, code: &str, text: &str) -> Hold {
    harness.sweep().await;
    let detail = harness.wait_condition(PayoutsHeld, Some(text)).await;
    let stored = holds(harness).await.into_iter().find(|hold| hold.code == code);
    let stored = stored.unwrap_or_else(|| panic!("{code} is not stored"));
    assert!(detail.contains(&stored.text), "{detail}: {}", stored.text);
    assert!(!stored.is_wanted && stored.since_ms > 0);
    stored
}

async fn over(harness: &mut Harness) {
    harness.wait_condition(PayoutsHeld, None).await;
    assert_eq!(holds(harness).await, []);
}

#[actix_rt::test]
async fn nothing_is_told_while_nothing_stands_in_the_way() {
    let mut harness = due().await;
    harness.sweep().await;
    harness.settle().await;
    assert!(harness.conditions.list().is_empty());
    assert_eq!(holds(&harness).await, []);
}

#[actix_rt::test]
async fn a_wallet_that_holds_less_than_is_owed_is_told_with_both_sums() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut harness = Harness::on(kind).await;
        harness.endow(2);
        harness.owe(&address(1), 2_000 * COIN).await;
        let hold = told(&mut harness, "insolvent", "the wallet holds less than the pool owes").await;
        assert!(hold.text.contains("holds 1446.50186070") && hold.text.contains("owes 2000"), "{}", hold.text);
        // Also of one that nothing is due of, and by the next process as since then.
        harness.take_lease("next").await;
        let again = told(&mut harness, "insolvent", "the wallet holds less than the pool owes").await;
        assert_eq!(again, hold);
        harness.mine_as(MineOrder { to: "wallet".to_owned(), ..MineOrder::default() });
        harness.wait_condition(PayoutsHeld, None).await;
        assert!(holds(&harness).await.iter().all(|hold| hold.code == "short"), "it must mature");
    }
}

#[actix_rt::test]
async fn what_an_operator_wants_degrades_and_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("payouts.pause");
    let mut harness = due_with(PayoutSettings { pause_file: Some(file.clone()), ..settings() }).await;
    std::fs::write(&file, "").unwrap();
    let detail = harness.wait_condition(PayoutsPaused, Some("payouts are paused")).await;
    assert!(detail.contains("payouts.pause"), "{detail}");
    let stored = holds(&harness).await;
    assert_eq!((stored.len(), stored[0].code.as_str(), stored[0].is_wanted), (1, "paused", true));
    std::fs::remove_file(&file).unwrap();
    harness.wait_condition(PayoutsPaused, None).await;
    assert!(!harness.conditions.has(PayoutsHeld));

    let mut harness = due_with(PayoutSettings { enabled: false, ..settings() }).await;
    harness.wait_condition(PayoutsPaused, Some("payouts are off")).await;
    assert_eq!(holds(&harness).await[0].code, "off");
}

#[actix_rt::test]
async fn a_pause_file_that_cannot_be_looked_for_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    std::fs::write(&place, "").unwrap();
    let mut harness = due_with(PayoutSettings { pause_file: Some(place.join("file")), ..settings() }).await;
    told(&mut harness, "pause_file", "the pause file cannot be looked for").await;
    std::fs::remove_file(&place).unwrap();
    over(&mut harness).await;
}

#[actix_rt::test]
async fn a_wallet_that_is_shut_view_only_or_behind_is_told_and_its_end_too() {
    let mut harness = due().await;
    harness.password.send_replace(None);
    harness.control().lock_wallet().unwrap();
    told(&mut harness, "wallet_shut", "payouts wait for the wallet: it is not open").await;
    harness.password.send_replace(Some(PASSWORD));
    harness.crash();
    over(&mut harness).await;

    harness.control().set_view_only(true);
    told(&mut harness, "view_only", "the wallet is view-only").await;
    assert!(harness.sends().is_empty());
    harness.control().set_view_only(false);
    over(&mut harness).await;

    harness.control().pause_wallet_scan(true).unwrap();
    harness.mine(1);
    told(&mut harness, "scanning", "the wallet has not read all blocks yet").await;
    harness.control().pause_wallet_scan(false).unwrap();
    over(&mut harness).await;
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_view_only_wallet_is_told_although_nothing_is_due() {
    for routes in [Routes::Full, Routes::Basic] {
        let mut harness = Harness::with(Kind::Sqlite, settings(), |params| params.routes = routes).await;
        harness.endow(3);
        harness.control().set_view_only(true);
        harness.wait_condition(PayoutsHeld, Some("the wallet is view-only")).await;
        harness.control().set_view_only(false);
        over(&mut harness).await;
    }
}

#[actix_rt::test]
async fn a_daemon_that_is_away_or_catching_up_or_behind_is_told() {
    let mut harness = due().await;
    let tip = harness.control().tip();
    let best = |work| BestChain { height: Height::new(tip.height + 5), work, seen_at: Timestamp::from_ms(1) };
    harness.store.best_chain_raise(best(tip.total_work + 1)).await.unwrap();
    told(&mut harness, "less_work", "less work than one seen before").await;
    harness.store.best_chain_give_up(Timestamp::from_ms(2)).await.unwrap();
    over(&mut harness).await;

    let mut harness = due().await;
    let behind = NetworkView { syncing: true, sync_target: tip.height + 1_000, ..NetworkView::default() };
    harness.control().set_network(behind);
    told(&mut harness, "syncing", "catching up with the chain").await;
    harness.control().set_network(NetworkView::default());
    over(&mut harness).await;

    let mut harness = due().await;
    harness.point_at(DaemonEndpoint { url: "http://127.0.0.1:9".to_owned(), ..DaemonEndpoint::default() });
    told(&mut harness, "daemon", "the wallet's daemon does not answer").await;
}

#[actix_rt::test]
async fn fees_that_the_pool_cannot_bear_are_told() {
    let mut harness = due_with(PayoutSettings { network_fee: NetworkFee::Pool, ..settings() }).await;
    let hold = told(&mut harness, "fee_account", "the pool's fees do not cover the network fee").await;
    assert!(hold.text.contains("holds 0"), "{}", hold.text);
    let coin = i64::try_from(COIN).unwrap();
    harness.post(&[("pool_fee".into(), coin), ("chain_rewards".into(), -coin)]).await;
    harness.mine(1);
    over(&mut harness).await;
}

#[actix_rt::test]
async fn waiting_for_change_is_no_fault_until_it_lasts() {
    let mut harness = Harness::with(Kind::Sqlite, settings(), |params| params.coinbase_maturity = 100).await;
    harness.load_wallet();
    harness.mine_as(MineOrder { count: 2, to: "wallet".to_owned(), empty: true, ..MineOrder::default() });
    harness.owe(&address(1), COIN).await;
    harness.sweep().await;
    for _ in 0..11 {
        harness.mine(1);
        harness.tick().await;
        assert!(!harness.conditions.has(PayoutsHeld));
        assert_eq!(holds(&harness).await[0].code, "short", "but `meshpool payouts` says it");
    }
    harness.mine(2);
    told(&mut harness, "short", "the wallet cannot spend enough now").await;
}

#[actix_rt::test]
async fn a_payout_that_needs_an_operator_is_told_and_holds_no_other() {
    let mut harness = Harness::with(Kind::Sqlite, settings(), |params| params.routes = Routes::Basic).await;
    harness.endow(4);
    harness.owe(&address(1), COIN).await;
    harness.use_token();
    harness.reserve().await;
    harness.fault(Fault::once("wallet/send", Phase::After, Action::Drop));
    let detail = harness.wait_condition(PayoutAttention, Some("a payout needs an operator")).await;
    assert!(detail.starts_with("1 payouts need an operator"), "{detail}");
    assert!(!harness.conditions.has(PayoutsHeld));
}

#[actix_rt::test]
async fn whoever_has_no_lease_says_nothing() {
    let mut harness = Harness::new().await;
    harness.endow(2);
    harness.owe(&address(1), 2_000 * COIN).await;
    told(&mut harness, "insolvent", "the wallet holds less").await;
    harness.lease.send_replace(None);
    harness.tick().await;
    assert!(harness.conditions.list().is_empty());
    assert_eq!(holds(&harness).await.len(), 1, "the one who had it said so");
}
