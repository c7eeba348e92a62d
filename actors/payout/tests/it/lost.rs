//! Lost answers, dead daemons, vanished transactions: exactly one payment.
use chain::TxId;
use std::time::Duration;

use daemon_sim::{Action, Fault, MineOrder, Phase, ReorgOrder};
use store::payouts::{Intent, IntentState, OperatorDecision};

use crate::database::Kind;
use crate::harness::{COIN, Harness, address};

const SEND: &str = "wallet/send/advanced";

/// A payout to two miners that is about to be asked for.
async fn reserved_on(kind: Kind) -> (Harness, Intent) {
    let mut harness = Harness::on(kind).await;
    harness.endow(3);
    harness.owe(&address(1), 100 * COIN).await;
    harness.owe(&address(2), 20 * COIN).await;
    let intent = harness.reserve().await;
    (harness, intent)
}

async fn reserved() -> (Harness, Intent) {
    reserved_on(Kind::Sqlite).await
}

async fn paid_once(mut harness: Harness) -> Harness {
    harness.settle().await;
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(harness.open().await.is_empty(), "nothing is left to pay");
    harness
}

#[actix_rt::test]
async fn a_reply_lost_after_the_effect_is_found_under_the_key() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (mut harness, reserved) = reserved_on(kind).await;
        harness.fault(Fault::once(SEND, Phase::After, Action::Drop));
        harness.tick().await;
        let unknown = harness.only().await;
        assert_eq!((unknown.state, unknown.txid), (IntentState::Unknown, None));
        harness.audit().await;
        harness.tick().await;
        let sent = harness.only().await;
        assert_eq!((sent.state, sent.attempts.len()), (IntentState::Broadcast, 1));
        assert_eq!(sent.attempts[0].body, reserved.attempts[0].body);
        let harness = paid_once(harness).await;
        assert_eq!(harness.sends().len(), 1);
    }
}

#[actix_rt::test]
async fn a_request_lost_before_the_effect_is_repeated_to_the_byte() {
    let (mut harness, reserved) = reserved().await;
    harness.fault(Fault::once(SEND, Phase::Before, Action::Drop));
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Unknown);
    harness.tick().await;
    let sent = harness.only().await;
    assert_eq!(sent.state, IntentState::Broadcast);
    assert_eq!(sent.attempts.len(), 1);
    assert_eq!(sent.attempts[0].idempotency_key, reserved.attempts[0].idempotency_key);
    assert_eq!(harness.metrics.payouts_repeated_total.get(), 1);
    assert_eq!(paid_once(harness).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_slow_daemon_is_not_asked_again_while_it_works() {
    let (mut harness, _) = reserved().await;
    // The connection ends, the work goes on for a while.
    harness.fault(Fault::once(SEND, Phase::During, Action::Drop));
    harness.fault(Fault::once(SEND, Phase::During, Action::DelayMs(300)));
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Unknown);
    while harness.only().await.state == IntentState::Unknown {
        harness.tick().await;
    }
    assert_eq!(harness.metrics.payouts_repeated_total.get() + harness.metrics.payouts_replaced_total.get(), 0);
    assert_eq!(paid_once(harness).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_failure_inside_a_proxy_is_not_a_failure_of_the_send() {
    let (mut harness, _) = reserved().await;
    harness.fault(Fault::once(SEND, Phase::After, Action::Respond { status: 502, body: "{}".to_owned() }));
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Unknown);
    assert_eq!(paid_once(harness).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_daemon_killed_before_its_effect_is_asked_again_with_the_same_inputs_after_three_blocks() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (mut harness, reserved) = reserved_on(kind).await;
        let token = harness.daemon.token();
        harness.fault(Fault::once(SEND, Phase::During, Action::Restart { down_ms: 0 }));
        harness.tick().await;
        harness.wait_for_restart(&token);
        for _ in 0..3 {
            harness.ticks(3).await;
            let waiting = harness.only().await;
            assert_eq!((waiting.state, waiting.attempts.len()), (IntentState::Unknown, 1), "not before three blocks");
            harness.mine(1);
        }
        harness.ticks(3).await;
        let sent = harness.only().await;
        assert_eq!((sent.state, sent.attempts.len()), (IntentState::Broadcast, 2));
        assert_eq!(sent.attempts[0].outcome.as_deref(), Some("accepted"));
        assert_ne!(sent.attempts[1].idempotency_key, reserved.attempts[0].idempotency_key);
        assert_eq!(sent.attempts[1].inputs, reserved.attempts[0].inputs);
        assert_eq!(paid_once(harness).await.sends().len(), 1);
    }
}

#[actix_rt::test]
async fn a_transaction_that_the_dead_daemon_had_broadcast_is_recognised_by_its_change() {
    let (mut harness, _) = reserved().await;
    let token = harness.daemon.token();
    harness.fault(Fault::once(SEND, Phase::Effected, Action::Restart { down_ms: 0 }));
    harness.tick().await;
    harness.wait_for_restart(&token);
    assert!(harness.sends().is_empty(), "the wallet has forgotten it");
    harness.ticks(2).await;
    // The network has not.
    harness.mine_as(MineOrder { forgotten: true, ..MineOrder::default() });
    harness.ticks(2).await;
    let found = harness.only().await;
    assert_eq!((found.state, found.attempts.len()), (IntentState::Confirmed, 1));
    let harness = paid_once(harness).await;
    assert!(harness.sends().is_empty());
}

#[actix_rt::test]
async fn a_replacement_and_a_forgotten_broadcast_exclude_each_other() {
    let (mut harness, _) = reserved().await;
    let token = harness.daemon.token();
    harness.fault(Fault::once(SEND, Phase::Effected, Action::Restart { down_ms: 0 }));
    harness.tick().await;
    harness.wait_for_restart(&token);
    for _ in 0..4 {
        harness.ticks(3).await;
        harness.mine_empty(1);
    }
    let replaced = harness.only().await;
    assert_eq!(replaced.attempts.len(), 2);
    harness.control().clear_mempool();
    harness.mine_as(MineOrder { forgotten: true, empty: true, ..MineOrder::default() });
    paid_once(harness).await;
}

#[actix_rt::test]
async fn an_evicted_record_is_looked_for_by_memo_before_anything_is_repeated() {
    let (mut harness, _) = reserved().await;
    harness.fault(Fault::once(SEND, Phase::After, Action::Drop));
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Unknown);
    std::fs::remove_file(harness.keys_file()).unwrap();
    harness.restart_daemon();
    harness.ticks(4).await;
    let sent = harness.only().await;
    assert_eq!((sent.state, sent.attempts.len()), (IntentState::Broadcast, 1), "the wallet's history tells");
    assert_eq!(harness.metrics.payouts_repeated_total.get(), 0);
    // Its mempool died with the daemon; the transaction comes back from the network.
    harness.mine_as(MineOrder { forgotten: true, ..MineOrder::default() });
    assert_eq!(paid_once(harness).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_transaction_that_vanishes_is_replaced_with_the_same_inputs_after_three_blocks() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (mut harness, reserved) = reserved_on(kind).await;
        harness.tick().await;
        let first = harness.only().await;
        assert_eq!(first.state, IntentState::Broadcast);
        harness.control().clear_mempool();
        for _ in 0..3 {
            harness.mine(1);
            harness.ticks(2).await;
            assert_eq!(harness.only().await.attempts.len(), 1, "not before three blocks");
        }
        harness.mine_empty(1);
        harness.ticks(3).await;
        let second = harness.only().await;
        assert_eq!((second.state, second.attempts.len()), (IntentState::Broadcast, 2));
        assert_eq!(second.attempts[1].inputs, reserved.attempts[0].inputs);
        assert_ne!(second.txid, first.txid);
        harness.audit().await;
        let harness = paid_once(harness).await;
        assert_eq!(harness.metrics.payouts_replaced_total.get(), 1);
    }
}

#[actix_rt::test]
async fn the_first_transaction_may_win_over_its_replacement() {
    let (mut harness, _) = reserved().await;
    harness.tick().await;
    let first = harness.only().await.txid;
    harness.control().clear_mempool();
    for _ in 0..4 {
        harness.mine_empty(1);
        harness.ticks(2).await;
    }
    let second = harness.only().await;
    assert_eq!(second.attempts.len(), 2);
    assert_ne!(second.txid, first);
    // Other nodes had kept the first one.
    harness.control().clear_mempool();
    harness.mine_as(MineOrder { forgotten: true, empty: true, ..MineOrder::default() });
    harness.ticks(2).await;
    let found = harness.only().await;
    assert_eq!((found.state, found.txid), (IntentState::Confirmed, first));
    paid_once(harness).await;
}

#[actix_rt::test]
async fn a_reorganisation_takes_a_confirmation_back_and_nothing_is_paid_twice() {
    let (mut harness, _) = reserved().await;
    harness.tick().await;
    harness.mine(2);
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Confirmed);
    harness.control().reorganise(ReorgOrder { depth: 2, silent: false }).unwrap();
    harness.tick().await;
    assert_eq!(harness.only().await.state, IntentState::Broadcast, "it waits in the mempool again");
    assert_eq!(paid_once(harness).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_settled_payout_that_a_deep_reorganisation_takes_is_said_until_it_is_back() {
    let (mut harness, _) = reserved().await;
    harness.settle().await;
    harness.ticks(1).await;
    assert_eq!(harness.metrics.payouts_displaced.get(), 0);
    harness.control().reorganise(ReorgOrder { depth: 6, silent: false }).unwrap();
    harness.tick().await;
    assert_eq!(harness.metrics.payouts_displaced.get(), 1);
    harness.crash();
    harness.tick().await;
    assert_eq!(harness.metrics.payouts_displaced.get(), 1, "a successor sees it too");
    harness.mine(1);
    harness.tick().await;
    assert_eq!(harness.metrics.payouts_displaced.get(), 0);
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn an_input_that_a_reorganisation_takes_away_holds_the_payout_until_that_is_final() {
    let mut harness = Harness::new().await;
    harness.endow(2);
    harness.owe(&address(1), 100 * COIN).await;
    harness.owe(&address(2), 20 * COIN).await;
    let reserved = harness.reserve().await;
    harness.control().reorganise(ReorgOrder { depth: 6, silent: false }).unwrap();
    harness.endow(3);
    harness.ticks(2).await;
    let held = harness.only().await;
    assert_eq!((&held.id, held.state), (&reserved.id, IntentState::Unknown), "the daemon knows no such output");
    harness.mine(101);
    harness.ticks(2).await;
    assert_eq!(harness.find(&reserved.id).await.state, IntentState::Released);
    harness.sweep().await;
    paid_once(harness).await;
}

#[actix_rt::test]
async fn an_unreachable_daemon_leaves_the_payout_reserved() {
    let (mut harness, reserved) = reserved().await;
    let address = harness.daemon.url();
    let control = harness.control();
    let down = std::thread::spawn(move || control.restart(Duration::from_millis(400), false).unwrap());
    while std::net::TcpStream::connect(&address[7..]).is_ok() {
        std::thread::park_timeout(Duration::from_millis(2));
    }
    harness.tick().await;
    let still = harness.only().await;
    assert_eq!((still.state, still.attempts.len()), (IntentState::Reserved, reserved.attempts.len()));
    down.join().unwrap();
    assert_eq!(paid_once(harness).await.sends().len(), 1);
}

#[actix_rt::test]
async fn an_output_that_an_operator_spent_holds_the_payout_until_the_operator_has_looked() {
    let (mut harness, reserved) = reserved().await;
    // By hand, all that the wallet has: the payout's input is among it.
    harness.spend_by_hand(&address(9), 2_160 * COIN);
    harness.ticks(2).await;
    assert_eq!(harness.only().await.state, IntentState::Unknown, "the daemon has refused it");
    harness.mine(1);
    harness.ticks(2).await;
    let held = harness.only().await;
    // It is refused because its inputs are spent, which could be its own doing by way of another daemon.
    assert!(held.attention.as_deref().unwrap().contains("look into the wallet"), "{:?}", held.attention);
    assert_eq!(harness.metrics.payouts_attention.get(), 1);
    harness.mine(50);
    harness.ticks(2).await;
    let release = OperatorDecision::Release { because: "I spent that output myself".to_owned() };
    assert!(harness.store.intent_say(&reserved.id, &release).await.unwrap());
    harness.ticks(2).await;
    let held = harness.only().await;
    assert_eq!((&held.id, held.state), (&reserved.id, IntentState::Unknown));
    assert!(held.attention.as_deref().unwrap().contains("counts from block"), "{:?}", held.attention);
    harness.mine(51);
    harness.ticks(2).await;
    let released = harness.find(&reserved.id).await;
    assert_eq!((released.state, released.word), (IntentState::Released, None));
    assert!(released.attempts[0].outcome.as_deref().unwrap().ends_with("I spent that output myself"));
    assert!(!harness.store.intent_say(&reserved.id, &release).await.unwrap(), "it is closed");
    harness.endow(2);
    harness.sweep().await;
    paid_once(harness).await;
}

#[actix_rt::test]
async fn an_operator_cannot_give_up_what_may_still_be_mined() {
    let (mut harness, reserved) = reserved().await;
    harness.fault(Fault::once(SEND, Phase::After, Action::Drop));
    harness.tick().await;
    harness.control().clear_mempool();
    let release = OperatorDecision::Release { because: "I think it is lost".to_owned() };
    assert!(harness.store.intent_say(&reserved.id, &release).await.unwrap());
    harness.ticks(2).await;
    let open = harness.only().await;
    assert_eq!((&open.id, open.word), (&reserved.id, None));
    paid_once(harness).await;
}

#[actix_rt::test]
async fn a_payout_that_was_never_asked_for_can_be_given_up_at_once() {
    let (mut harness, reserved) = reserved().await;
    let release = OperatorDecision::Release { because: "not now".to_owned() };
    assert!(harness.store.intent_say(&reserved.id, &release).await.unwrap());
    harness.ticks(2).await;
    assert_eq!(harness.find(&reserved.id).await.state, IntentState::Released);
    assert!(harness.sends().is_empty());
}

#[actix_rt::test]
async fn a_transaction_that_an_operator_names_settles_a_payout_when_a_block_holds_it() {
    let (mut harness, reserved) = reserved().await;
    let token = harness.daemon.token();
    harness.fault(Fault::once(SEND, Phase::Effected, Action::Restart { down_ms: 0 }));
    harness.tick().await;
    harness.wait_for_restart(&token);
    // Nobody but the network knows it any more.
    let named = OperatorDecision::Sent { txid: TxId([0xab; 32]) };
    assert!(harness.store.intent_say(&reserved.id, &named).await.unwrap());
    harness.ticks(2).await;
    let open = harness.only().await;
    assert!(open.attention.as_deref().unwrap().contains("no block holds"), "{:?}", open.attention);
    harness.mine_as(MineOrder { forgotten: true, ..MineOrder::default() });
    let income = harness.control().income(&address(1)).unwrap();
    let named = OperatorDecision::Sent { txid: income[0].txid };
    assert!(harness.store.intent_say(&reserved.id, &named).await.unwrap());
    harness.ticks(2).await;
    let found = harness.only().await;
    assert_eq!((found.state, found.txid), (IntentState::Confirmed, Some(income[0].txid)));
    paid_once(harness).await;
}
