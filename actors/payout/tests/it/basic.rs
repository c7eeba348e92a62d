//! A daemon with only the routes that every one has.
use meshpool_devnet::{Action, Fault, Phase, Routes};
use store::payouts::IntentState;

use crate::database::Kind;
use crate::stage::{COIN, Stage, address, settings};

async fn basic(kind: Kind) -> Stage {
    let mut stage = Stage::with(kind, settings(), |params| params.routes = Routes::Basic).await;
    stage.endow(4);
    stage.owe(&address(1), 100 * COIN).await;
    stage.owe(&address(2), 20 * COIN).await;
    stage
}

#[actix_rt::test]
async fn payouts_are_found_in_blocks_and_settled() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut stage = basic(kind).await;
        stage.sweep().await;
        stage.settle().await;
        assert_eq!(stage.sends().len(), 1);
        stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
    }
}

#[actix_rt::test]
async fn an_unknown_outcome_waits_for_an_operator_and_is_never_sent_again() {
    for (phase, payments) in [(Phase::After, 1), (Phase::Before, 0)] {
        let mut stage = basic(Kind::Sqlite).await;
        stage.use_token();
        let reserved = stage.reserve().await;
        stage.fault(Fault::once("wallet/send", phase, Action::Drop));
        for _ in 0..8 {
            stage.ticks(2).await;
            stage.mine(1);
            stage.sweep().await;
        }
        stage.crash();
        stage.sweep().await;
        stage.ticks(2).await;
        let held = stage.only().await;
        assert_eq!((held.state, held.attempts.len(), &held.id), (IntentState::Unknown, 1, &reserved.id));
        assert!(held.attention.as_deref().unwrap().contains("this daemon cannot be asked"));
        assert_eq!(stage.sends().len(), payments);
        stage.audit().await;
        // Others are paid all the same.
        stage.owe(&address(3), COIN).await;
        stage.sweep().await;
        for _ in 0..6 {
            stage.ticks(2).await;
            stage.mine(1);
        }
        stage.check(&[(&address(3), 1)]).await;
    }
}

#[actix_rt::test]
async fn a_busy_daemon_and_a_locked_wallet_are_definite_and_the_same_request_is_sent_later() {
    let mut stage = basic(Kind::Sqlite).await;
    stage.use_token();
    let reserved = stage.reserve().await;
    stage.control().lock_wallet().unwrap();
    stage.ticks(3).await;
    let sent = stage.only().await;
    assert_eq!((sent.state, &sent.attempts[0].body), (IntentState::Broadcast, &reserved.attempts[0].body));
    stage.settle().await;
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn a_definite_refusal_makes_the_money_payable_again() {
    let mut stage = basic(Kind::Sqlite).await;
    stage.use_token();
    let reserved = stage.reserve().await;
    stage.spend_by_hand(&address(9), 2_690 * COIN);
    stage.tick().await;
    assert!(stage.open().await.is_empty());
    assert_eq!(stage.find(&reserved.id).await.state, IntentState::Released);
    stage.audit().await;
    stage.mine(3);
    stage.endow(1);
    stage.sweep().await;
    stage.settle().await;
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn a_reorganisation_is_noticed_by_looking_at_the_blocks_again() {
    let mut stage = basic(Kind::Sqlite).await;
    stage.sweep().await;
    stage.ticks(2).await;
    stage.mine(2);
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Confirmed);
    stage.control().reorganise(meshpool_devnet::ReorgOrder { depth: 2, silent: false }).unwrap();
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Confirmed, "it cannot be said where it is");
    stage.settle().await;
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
    assert_eq!(stage.sends().len(), 1);
}
