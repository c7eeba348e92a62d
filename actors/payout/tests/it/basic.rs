//! A daemon with only the routes that every one has.
use daemon_sim::{Action, Fault, Phase, Routes};
use store::payouts::IntentState;

use crate::database::Kind;
use crate::harness::{COIN, Harness, address, settings};

async fn basic(kind: Kind) -> Harness {
    let mut harness = Harness::with(kind, settings(), |params| params.routes = Routes::Basic).await;
    harness.endow(4);
    harness.owe(&address(1), 100 * COIN).await;
    harness.owe(&address(2), 20 * COIN).await;
    harness
}

#[actix_rt::test]
async fn payouts_are_found_in_blocks_and_settled() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut harness = basic(kind).await;
        harness.sweep().await;
        harness.settle().await;
        assert_eq!(harness.sends().len(), 1);
        harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
    }
}

#[actix_rt::test]
async fn an_unknown_outcome_waits_for_an_operator_and_is_never_sent_again() {
    for (phase, payments) in [(Phase::After, 1), (Phase::Before, 0)] {
        let mut harness = basic(Kind::Sqlite).await;
        harness.use_token();
        let reserved = harness.reserve().await;
        harness.fault(Fault::once("wallet/send", phase, Action::Drop));
        for _ in 0..8 {
            harness.ticks(2).await;
            harness.mine(1);
            harness.sweep().await;
        }
        harness.crash();
        harness.sweep().await;
        harness.ticks(2).await;
        let held = harness.only().await;
        assert_eq!((held.state, held.attempts.len(), &held.id), (IntentState::Unknown, 1, &reserved.id));
        assert!(held.attention.as_deref().unwrap().contains("this daemon cannot be asked"));
        assert_eq!(harness.sends().len(), payments);
        harness.audit().await;
        // Others are paid all the same.
        harness.owe(&address(3), COIN).await;
        harness.sweep().await;
        for _ in 0..6 {
            harness.ticks(2).await;
            harness.mine(1);
        }
        harness.check(&[(&address(3), 1)]).await;
    }
}

#[actix_rt::test]
async fn a_busy_daemon_and_a_locked_wallet_are_definite_and_the_same_request_is_sent_later() {
    let mut harness = basic(Kind::Sqlite).await;
    harness.use_token();
    let reserved = harness.reserve().await;
    harness.control().lock_wallet().unwrap();
    harness.ticks(3).await;
    let sent = harness.only().await;
    assert_eq!((sent.state, &sent.attempts[0].body), (IntentState::Broadcast, &reserved.attempts[0].body));
    harness.settle().await;
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn a_definite_refusal_makes_the_money_payable_again() {
    let mut harness = basic(Kind::Sqlite).await;
    harness.use_token();
    let reserved = harness.reserve().await;
    harness.spend_by_hand(&address(9), 2_690 * COIN);
    harness.tick().await;
    assert!(harness.open().await.is_empty());
    assert_eq!(harness.find(&reserved.id).await.state, IntentState::Released);
    harness.audit().await;
    harness.mine(3);
    harness.endow(1);
    harness.sweep().await;
    harness.settle().await;
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn a_reorganisation_is_noticed_by_looking_at_the_blocks_again() {
    let mut harness = basic(Kind::Sqlite).await;
    harness.sweep().await;
    harness.ticks(2).await;
    harness.mine(2);
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Confirmed);
    harness.control().reorganise(daemon_sim::ReorgOrder { depth: 2, silent: false }).unwrap();
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Confirmed, "it cannot be said where it is");
    harness.settle().await;
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
    assert_eq!(harness.sends().len(), 1);
}
