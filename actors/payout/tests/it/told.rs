//! Every state that stops money is told: as a condition, and in the database for another process.
use meshpool_devnet::{Action, Fault, MineOrder, NetworkView, Phase, Routes};
use messages::conditions::ConditionKind::{PayoutAttention, PayoutsHeld, PayoutsPaused};
use settings::{NetworkFee, PayoutSettings};
use store::best_chain::BestChain;
use store::payouts::Hold;
use units::{Height, Timestamp};

use crate::database::Kind;
use crate::stage::{COIN, PASSWORD, Stage, address, settings};

async fn due() -> Stage {
    due_with(settings()).await
}

async fn due_with(settings: PayoutSettings) -> Stage {
    let mut stage = Stage::with(Kind::Sqlite, settings, |_| {}).await;
    stage.endow(3);
    stage.owe(&address(1), COIN).await;
    stage
}

async fn holds(stage: &Stage) -> Vec<Hold> {
    stage.store.payout_books().await.unwrap().holds.unwrap()
}

/// It is told, another process can read it, and it is over when `end` has happened.
async fn told(stage: &mut Stage, code: &str, text: &str) -> Hold {
    stage.sweep().await;
    let detail = stage.wait_condition(PayoutsHeld, Some(text)).await;
    let stored = holds(stage).await.into_iter().find(|hold| hold.code == code);
    let stored = stored.unwrap_or_else(|| panic!("{code} is not stored"));
    assert!(detail.contains(&stored.text), "{detail}: {}", stored.text);
    assert!(!stored.is_wanted && stored.since_ms > 0);
    stored
}

async fn over(stage: &mut Stage) {
    stage.wait_condition(PayoutsHeld, None).await;
    assert_eq!(holds(stage).await, []);
}

#[actix_rt::test]
async fn nothing_is_told_while_nothing_stands_in_the_way() {
    let mut stage = due().await;
    stage.sweep().await;
    stage.settle().await;
    assert!(stage.conditions.list().is_empty());
    assert_eq!(holds(&stage).await, []);
}

#[actix_rt::test]
async fn a_wallet_that_holds_less_than_is_owed_is_told_with_both_sums() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut stage = Stage::on(kind).await;
        stage.endow(2);
        stage.owe(&address(1), 2_000 * COIN).await;
        let hold = told(&mut stage, "insolvent", "the wallet holds less than the pool owes").await;
        assert!(hold.text.contains("holds 1446.50186070") && hold.text.contains("owes 2000"), "{}", hold.text);
        // Also of one that nothing is due of, and by the next process as since then.
        stage.take_lease("next").await;
        let again = told(&mut stage, "insolvent", "the wallet holds less than the pool owes").await;
        assert_eq!(again, hold);
        stage.mine_as(MineOrder { to: "wallet".to_owned(), ..MineOrder::default() });
        stage.wait_condition(PayoutsHeld, None).await;
        assert!(holds(&stage).await.iter().all(|hold| hold.code == "short"), "it must mature");
    }
}

#[actix_rt::test]
async fn what_an_operator_wants_degrades_and_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("payouts.pause");
    let mut stage = due_with(PayoutSettings { pause_file: Some(file.clone()), ..settings() }).await;
    std::fs::write(&file, "").unwrap();
    let detail = stage.wait_condition(PayoutsPaused, Some("payouts are paused")).await;
    assert!(detail.contains("payouts.pause"), "{detail}");
    let stored = holds(&stage).await;
    assert_eq!((stored.len(), stored[0].code.as_str(), stored[0].is_wanted), (1, "paused", true));
    std::fs::remove_file(&file).unwrap();
    stage.wait_condition(PayoutsPaused, None).await;
    assert!(!stage.conditions.has(PayoutsHeld));

    let mut stage = due_with(PayoutSettings { enabled: false, ..settings() }).await;
    stage.wait_condition(PayoutsPaused, Some("payouts are off")).await;
    assert_eq!(holds(&stage).await[0].code, "off");
}

#[actix_rt::test]
async fn a_pause_file_that_cannot_be_looked_for_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    std::fs::write(&place, "").unwrap();
    let mut stage = due_with(PayoutSettings { pause_file: Some(place.join("file")), ..settings() }).await;
    told(&mut stage, "pause_file", "the pause file cannot be looked for").await;
    std::fs::remove_file(&place).unwrap();
    over(&mut stage).await;
}

#[actix_rt::test]
async fn a_wallet_that_is_shut_view_only_or_behind_is_told_and_its_end_too() {
    let mut stage = due().await;
    stage.password.send_replace(None);
    stage.control().lock_wallet().unwrap();
    told(&mut stage, "wallet_shut", "payouts wait for the wallet: it is not open").await;
    stage.password.send_replace(Some(PASSWORD));
    stage.crash();
    over(&mut stage).await;

    stage.control().set_view_only(true);
    told(&mut stage, "view_only", "the wallet is view-only").await;
    assert!(stage.sends().is_empty());
    stage.control().set_view_only(false);
    over(&mut stage).await;

    stage.control().pause_wallet_scan(true).unwrap();
    stage.mine(1);
    told(&mut stage, "scanning", "the wallet has not read all blocks yet").await;
    stage.control().pause_wallet_scan(false).unwrap();
    over(&mut stage).await;
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_view_only_wallet_is_told_although_nothing_is_due() {
    for routes in [Routes::Full, Routes::Basic] {
        let mut stage = Stage::with(Kind::Sqlite, settings(), |params| params.routes = routes).await;
        stage.endow(3);
        stage.control().set_view_only(true);
        stage.wait_condition(PayoutsHeld, Some("the wallet is view-only")).await;
        stage.control().set_view_only(false);
        over(&mut stage).await;
    }
}

#[actix_rt::test]
async fn a_daemon_that_is_away_or_catching_up_or_behind_is_told() {
    let mut stage = due().await;
    let tip = stage.control().tip();
    let best = |work| BestChain { height: Height::new(tip.height + 5), work, seen_at: Timestamp::from_ms(1) };
    stage.store.best_chain_raise(best(tip.total_work + 1)).await.unwrap();
    told(&mut stage, "less_work", "less work than one seen before").await;
    stage.store.best_chain_give_up(Timestamp::from_ms(2)).await.unwrap();
    over(&mut stage).await;

    let mut stage = due().await;
    let behind = NetworkView { syncing: true, sync_target: tip.height + 1_000, ..NetworkView::default() };
    stage.control().set_network(behind);
    told(&mut stage, "syncing", "catching up with the chain").await;
    stage.control().set_network(NetworkView::default());
    over(&mut stage).await;

    let mut stage = due().await;
    let place = daemon::DaemonSettings { url: "http://127.0.0.1:9".to_owned(), ..daemon::DaemonSettings::default() };
    stage.point_at(place);
    told(&mut stage, "daemon", "the wallet's daemon does not answer").await;
}

#[actix_rt::test]
async fn fees_that_the_pool_cannot_bear_are_told() {
    let mut stage = due_with(PayoutSettings { network_fee: NetworkFee::Pool, ..settings() }).await;
    let hold = told(&mut stage, "fee_account", "the pool's fees do not cover the network fee").await;
    assert!(hold.text.contains("holds 0"), "{}", hold.text);
    let coin = i64::try_from(COIN).unwrap();
    stage.post(&[("pool_fee".into(), coin), ("chain_rewards".into(), -coin)]).await;
    stage.mine(1);
    over(&mut stage).await;
}

#[actix_rt::test]
async fn waiting_for_change_is_no_fault_until_it_lasts() {
    let mut stage = Stage::with(Kind::Sqlite, settings(), |params| params.coinbase_maturity = 100).await;
    stage.load_wallet();
    stage.mine_as(MineOrder { count: 2, to: "wallet".to_owned(), empty: true, ..MineOrder::default() });
    stage.owe(&address(1), COIN).await;
    stage.sweep().await;
    for _ in 0..11 {
        stage.mine(1);
        stage.tick().await;
        assert!(!stage.conditions.has(PayoutsHeld));
        assert_eq!(holds(&stage).await[0].code, "short", "but `meshpool payouts` says it");
    }
    stage.mine(2);
    told(&mut stage, "short", "the wallet cannot spend enough now").await;
}

#[actix_rt::test]
async fn a_payout_that_needs_an_operator_is_told_and_holds_no_other() {
    let mut stage = Stage::with(Kind::Sqlite, settings(), |params| params.routes = Routes::Basic).await;
    stage.endow(4);
    stage.owe(&address(1), COIN).await;
    stage.use_token();
    stage.reserve().await;
    stage.fault(Fault::once("wallet/send", Phase::After, Action::Drop));
    let detail = stage.wait_condition(PayoutAttention, Some("a payout needs an operator")).await;
    assert!(detail.starts_with("1 payouts need an operator"), "{detail}");
    assert!(!stage.conditions.has(PayoutsHeld));
}

#[actix_rt::test]
async fn whoever_has_no_lease_says_nothing() {
    let mut stage = Stage::new().await;
    stage.endow(2);
    stage.owe(&address(1), 2_000 * COIN).await;
    told(&mut stage, "insolvent", "the wallet holds less").await;
    stage.lease.send_replace(None);
    stage.tick().await;
    assert!(stage.conditions.list().is_empty());
    assert_eq!(holds(&stage).await.len(), 1, "the one who had it said so");
}
