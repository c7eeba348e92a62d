//! What stops payouts, and that nothing stops them for good.
use std::path::PathBuf;

use meshpool_devnet::MineOrder;
use settings::PayoutSettings;
use store::best_chain::BestChain;
use store::payouts::IntentState;
use units::{Height, Timestamp};

use crate::database::Kind;
use crate::stage::{COIN, PASSWORD, Stage, address, settings};

async fn due() -> Stage {
    let mut stage = Stage::new().await;
    stage.endow(3);
    stage.owe(&address(1), COIN).await;
    stage
}

/// The stage, a directory, and where in it the pause file would be.
async fn due_with_pause_file() -> (Stage, tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("payouts.pause");
    let settings = PayoutSettings { pause_file: Some(file.clone()), ..settings() };
    let mut stage = Stage::with(Kind::Sqlite, settings, |_| {}).await;
    stage.endow(3);
    stage.owe(&address(1), COIN).await;
    (stage, dir, file)
}

async fn is_idle(stage: &Stage) -> bool {
    stage.open().await.is_empty() && stage.sends().is_empty()
}

#[actix_rt::test]
async fn without_the_lease_nothing_is_written_and_nothing_is_sent() {
    let mut stage = due().await;
    stage.lease.send_replace(None);
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(is_idle(&stage).await);
    // As after a change of holder: the old epoch is refused by the database, and not tried again.
    stage.lease.send_replace(Some(stage.epoch - 1));
    stage.ticks(3).await;
    assert!(is_idle(&stage).await);
    stage.lease.send_replace(Some(stage.epoch));
    stage.settle().await;
    stage.sweep().await;
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_reserved_payout_is_not_sent_under_an_old_epoch() {
    let mut stage = due().await;
    stage.reserve().await;
    stage.lease.send_replace(Some(stage.epoch - 1));
    stage.ticks(3).await;
    assert_eq!(stage.only().await.state, IntentState::Reserved);
    assert!(stage.sends().is_empty());
    stage.lease.send_replace(Some(stage.epoch));
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_pause_file_stops_every_send_until_it_is_gone() {
    let (mut stage, _dir, file) = due_with_pause_file().await;
    std::fs::write(&file, "").unwrap();
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(is_idle(&stage).await);
    assert_eq!(stage.counters.payouts_paused.get(), 1);
    std::fs::remove_file(&file).unwrap();
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Broadcast, "the run that was due is made up for at once");
    assert_eq!(stage.counters.payouts_paused.get(), 0);
    // What was sent is followed to its end under a pause.
    std::fs::write(&file, "").unwrap();
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_reserved_payout_waits_for_the_end_of_a_pause() {
    let (mut stage, _dir, file) = due_with_pause_file().await;
    stage.reserve().await;
    std::fs::write(&file, "").unwrap();
    stage.ticks(3).await;
    assert_eq!(stage.only().await.state, IntentState::Reserved);
    std::fs::remove_file(&file).unwrap();
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn payouts_can_be_switched_off() {
    let mut stage = Stage::with(Kind::Sqlite, PayoutSettings { enabled: false, ..settings() }, |_| {}).await;
    stage.endow(3);
    stage.owe(&address(1), COIN).await;
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(is_idle(&stage).await);
    assert_eq!(stage.counters.payouts_paused.get(), 1);
}

#[actix_rt::test]
async fn a_wallet_that_holds_less_than_is_owed_sends_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut stage = Stage::on(kind).await;
        stage.endow(2);
        // The wallet holds two rewards, 1,446 coins and a half.
        stage.owe(&address(1), COIN).await;
        stage.owe(&address(2), 1_446 * COIN).await;
        stage.sweep().await;
        stage.ticks(2).await;
        assert!(is_idle(&stage).await, "not even to whom it could");
        assert_eq!(stage.counters.payouts_insolvent.get(), 1);
        stage.mine_as(MineOrder { to: "wallet".to_owned(), ..MineOrder::default() });
        stage.tick().await;
        assert_eq!(stage.counters.payouts_insolvent.get(), 0);
        stage.mine(3);
        stage.settle().await;
        stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
    }
}

#[actix_rt::test]
async fn change_that_no_block_holds_yet_is_not_missing() {
    let mut stage = due().await;
    stage.owe(&address(2), 1_400 * COIN).await;
    stage.sweep().await;
    stage.ticks(2).await;
    assert_eq!(stage.only().await.state, IntentState::Broadcast);
    stage.owe(&address(3), 700 * COIN).await;
    stage.mine_empty(1);
    stage.tick().await;
    assert_eq!(stage.counters.payouts_insolvent.get(), 0);
    stage.sweep().await;
    stage.settle().await;
    stage.check(&[(&address(1), 1), (&address(2), 1), (&address(3), 1)]).await;
}

#[actix_rt::test]
async fn a_wallet_that_is_locked_or_not_loaded_is_opened() {
    let mut stage = due().await;
    stage.control().lock_wallet().unwrap();
    stage.sweep().await;
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Broadcast);
    stage.restart_daemon();
    stage.mine(1);
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_wallet_that_is_locked_right_before_a_send_is_opened_and_the_same_request_is_sent() {
    let mut stage = due().await;
    let reserved = stage.reserve().await;
    stage.control().lock_wallet().unwrap();
    stage.ticks(3).await;
    let sent = stage.only().await;
    assert_eq!((sent.state, &sent.id, sent.attempts.len()), (IntentState::Broadcast, &reserved.id, 1));
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn without_a_password_payouts_wait_until_there_is_one() {
    let mut stage = due().await;
    stage.password.send_replace(None);
    stage.control().lock_wallet().unwrap();
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(is_idle(&stage).await);
    stage.password.send_replace(Some(PASSWORD));
    stage.crash(); // A wallet that would not open is not tried again at once.
    stage.sweep().await;
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_wallet_that_has_not_seen_the_tip_decides_nothing() {
    let mut stage = due().await;
    stage.control().pause_wallet_scan(true).unwrap();
    stage.mine(1);
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(is_idle(&stage).await);
    stage.control().pause_wallet_scan(false).unwrap();
    stage.tick().await;
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_chain_with_less_work_than_one_seen_pays_nothing_and_settles_nothing() {
    let mut stage = due().await;
    let tip = stage.control().tip();
    let best = |work| BestChain { height: Height::new(tip.height + 5), work, seen_at: Timestamp::from_ms(1) };
    stage.store.best_chain_raise(best(tip.total_work + 1)).await.unwrap();
    stage.sweep().await;
    stage.ticks(3).await;
    assert!(is_idle(&stage).await);
    stage.mine(1);
    stage.ticks(3).await;
    assert_eq!((stage.sends().len(), stage.only().await.state), (1, IntentState::Broadcast));
    // The chain that it is mined in is left behind by another one: what happens there is not believed.
    stage.store.best_chain_raise(best(u64::MAX)).await.unwrap();
    for _ in 0..10 {
        stage.mine(1);
        stage.ticks(2).await;
    }
    assert_eq!(stage.only().await.state, IntentState::Broadcast);
    stage.store.best_chain_give_up(Timestamp::from_ms(2)).await.unwrap();
    stage.settle().await;
    stage.check(&[(&address(1), 1)]).await;
}
