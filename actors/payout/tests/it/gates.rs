//! What stops payouts, and that nothing stops them for good.
use std::path::PathBuf;

use daemon_sim::MineOrder;
use settings::PayoutSettings;
use store::best_chain::BestChain;
use store::payouts::IntentState;
use units::{Height, Timestamp};

use crate::database::Kind;
use crate::harness::{COIN, Harness, PASSWORD, address, settings};

async fn due() -> Harness {
    let mut harness = Harness::new().await;
    harness.endow(3);
    harness.owe(&address(1), COIN).await;
    harness
}

/// The harness, a directory, and where in it the pause file would be.
async fn due_with_pause_file() -> (Harness, tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("payouts.pause");
    let settings = PayoutSettings { pause_file: Some(file.clone()), ..settings() };
    let mut harness = Harness::with(Kind::Sqlite, settings, |_| {}).await;
    harness.endow(3);
    harness.owe(&address(1), COIN).await;
    (harness, dir, file)
}

async fn is_idle(harness: &Harness) -> bool {
    harness.open().await.is_empty() && harness.sends().is_empty()
}

#[actix_rt::test]
async fn without_the_lease_nothing_is_written_and_nothing_is_sent() {
    let mut harness = due().await;
    harness.lease.send_replace(None);
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(is_idle(&harness).await);
    // As after a change of holder: the old epoch is refused by the database, and not tried again.
    harness.lease.send_replace(Some(harness.epoch - 1));
    harness.ticks(3).await;
    assert!(is_idle(&harness).await);
    harness.lease.send_replace(Some(harness.epoch));
    harness.settle().await;
    harness.sweep().await;
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_reserved_payout_is_not_sent_under_an_old_epoch() {
    let mut harness = due().await;
    harness.reserve().await;
    harness.lease.send_replace(Some(harness.epoch - 1));
    harness.ticks(3).await;
    assert_eq!(harness.only().await.state, IntentState::Reserved);
    assert!(harness.sends().is_empty());
    harness.lease.send_replace(Some(harness.epoch));
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_pause_file_stops_every_send_until_it_is_gone() {
    let (mut harness, _dir, file) = due_with_pause_file().await;
    std::fs::write(&file, "").unwrap();
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(is_idle(&harness).await);
    assert_eq!(harness.metrics.payouts_paused.get(), 1);
    std::fs::remove_file(&file).unwrap();
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Broadcast, "the run that was due is made up for at once");
    assert_eq!(harness.metrics.payouts_paused.get(), 0);
    // What was sent is followed to its end under a pause.
    std::fs::write(&file, "").unwrap();
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_reserved_payout_waits_for_the_end_of_a_pause() {
    let (mut harness, _dir, file) = due_with_pause_file().await;
    harness.reserve().await;
    std::fs::write(&file, "").unwrap();
    harness.ticks(3).await;
    assert_eq!(harness.only().await.state, IntentState::Reserved);
    std::fs::remove_file(&file).unwrap();
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn payouts_can_be_switched_off() {
    let mut harness = Harness::with(Kind::Sqlite, PayoutSettings { enabled: false, ..settings() }, |_| {}).await;
    harness.endow(3);
    harness.owe(&address(1), COIN).await;
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(is_idle(&harness).await);
    assert_eq!(harness.metrics.payouts_paused.get(), 1);
}

#[actix_rt::test]
async fn a_wallet_that_holds_less_than_is_owed_sends_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut harness = Harness::on(kind).await;
        harness.endow(2);
        // The wallet holds two rewards, 1,446 coins and a half.
        harness.owe(&address(1), COIN).await;
        harness.owe(&address(2), 1_446 * COIN).await;
        harness.sweep().await;
        harness.ticks(2).await;
        assert!(is_idle(&harness).await, "not even to whom it could");
        assert_eq!(harness.metrics.payouts_insolvent.get(), 1);
        harness.mine_as(MineOrder { to: "wallet".to_owned(), ..MineOrder::default() });
        harness.tick().await;
        assert_eq!(harness.metrics.payouts_insolvent.get(), 0);
        harness.mine(3);
        harness.settle().await;
        harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
    }
}

#[actix_rt::test]
async fn change_that_no_block_holds_yet_is_not_missing() {
    let mut harness = due().await;
    harness.owe(&address(2), 1_400 * COIN).await;
    harness.sweep().await;
    harness.ticks(2).await;
    assert_eq!(harness.only().await.state, IntentState::Broadcast);
    harness.owe(&address(3), 700 * COIN).await;
    harness.mine_empty(1);
    harness.tick().await;
    assert_eq!(harness.metrics.payouts_insolvent.get(), 0);
    harness.sweep().await;
    harness.settle().await;
    harness.check(&[(&address(1), 1), (&address(2), 1), (&address(3), 1)]).await;
}

#[actix_rt::test]
async fn a_wallet_that_is_locked_or_not_loaded_is_opened() {
    let mut harness = due().await;
    harness.control().lock_wallet().unwrap();
    harness.sweep().await;
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Broadcast);
    harness.restart_daemon();
    harness.mine(1);
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_wallet_that_is_locked_right_before_a_send_is_opened_and_the_same_request_is_sent() {
    let mut harness = due().await;
    let reserved = harness.reserve().await;
    harness.control().lock_wallet().unwrap();
    harness.ticks(3).await;
    let sent = harness.only().await;
    assert_eq!((sent.state, &sent.id, sent.attempts.len()), (IntentState::Broadcast, &reserved.id, 1));
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn without_a_password_payouts_wait_until_there_is_one() {
    let mut harness = due().await;
    harness.password.send_replace(None);
    harness.control().lock_wallet().unwrap();
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(is_idle(&harness).await);
    harness.password.send_replace(Some(PASSWORD));
    harness.crash(); // A wallet that would not open is not tried again at once.
    harness.sweep().await;
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_wallet_that_has_not_seen_the_tip_decides_nothing() {
    let mut harness = due().await;
    harness.control().pause_wallet_scan(true).unwrap();
    harness.mine(1);
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(is_idle(&harness).await);
    harness.control().pause_wallet_scan(false).unwrap();
    harness.tick().await;
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_chain_with_less_work_than_one_seen_pays_nothing_and_settles_nothing() {
    let mut harness = due().await;
    let tip = harness.control().tip();
    let best = |work| BestChain { height: Height::new(tip.height + 5), work, seen_at: Timestamp::from_ms(1) };
    harness.store.best_chain_raise(best(tip.total_work + 1)).await.unwrap();
    harness.sweep().await;
    harness.ticks(3).await;
    assert!(is_idle(&harness).await);
    harness.mine(1);
    harness.ticks(3).await;
    assert_eq!((harness.sends().len(), harness.only().await.state), (1, IntentState::Broadcast));
    // The chain that it is mined in is left behind by another one: what happens there is not believed.
    harness.store.best_chain_raise(best(u64::MAX)).await.unwrap();
    for _ in 0..10 {
        harness.mine(1);
        harness.ticks(2).await;
    }
    assert_eq!(harness.only().await.state, IntentState::Broadcast);
    harness.store.best_chain_give_up(Timestamp::from_ms(2)).await.unwrap();
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}
