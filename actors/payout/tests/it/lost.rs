//! Lost answers, dead daemons, vanished transactions: exactly one payment.
use std::time::Duration;

use meshpool_devnet::{Action, Fault, MineOrder, Phase, ReorgOrder};
use store::payouts::{Intent, IntentState, OperatorDecision};

use crate::database::Kind;
use crate::stage::{COIN, Stage, address};

const SEND: &str = "wallet/send/advanced";

/// A payout to two miners that is about to be asked for.
async fn reserved_on(kind: Kind) -> (Stage, Intent) {
    let mut stage = Stage::on(kind).await;
    stage.endow(3);
    stage.owe(&address(1), 100 * COIN).await;
    stage.owe(&address(2), 20 * COIN).await;
    let intent = stage.reserve().await;
    (stage, intent)
}

async fn reserved() -> (Stage, Intent) {
    reserved_on(Kind::Sqlite).await
}

async fn paid_once(mut stage: Stage) -> Stage {
    stage.settle().await;
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(stage.open().await.is_empty(), "nothing is left to pay");
    stage
}

#[actix_rt::test]
async fn a_reply_lost_after_the_effect_is_found_under_the_key() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (mut stage, reserved) = reserved_on(kind).await;
        stage.fault(Fault::once(SEND, Phase::After, Action::Drop));
        stage.tick().await;
        let unknown = stage.only().await;
        assert_eq!((unknown.state, unknown.txid), (IntentState::Unknown, None));
        stage.audit().await;
        stage.tick().await;
        let sent = stage.only().await;
        assert_eq!((sent.state, sent.attempts.len()), (IntentState::Broadcast, 1));
        assert_eq!(sent.attempts[0].body, reserved.attempts[0].body);
        let stage = paid_once(stage).await;
        assert_eq!(stage.sends().len(), 1);
    }
}

#[actix_rt::test]
async fn a_request_lost_before_the_effect_is_repeated_to_the_byte() {
    let (mut stage, reserved) = reserved().await;
    stage.fault(Fault::once(SEND, Phase::Before, Action::Drop));
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Unknown);
    stage.tick().await;
    let sent = stage.only().await;
    assert_eq!(sent.state, IntentState::Broadcast);
    assert_eq!(sent.attempts.len(), 1);
    assert_eq!(sent.attempts[0].idempotency_key, reserved.attempts[0].idempotency_key);
    assert_eq!(stage.counters.payouts_repeated_total.get(), 1);
    assert_eq!(paid_once(stage).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_slow_daemon_is_not_asked_again_while_it_works() {
    let (mut stage, _) = reserved().await;
    // The connection ends, the work goes on for a while.
    stage.fault(Fault::once(SEND, Phase::During, Action::Drop));
    stage.fault(Fault::once(SEND, Phase::During, Action::DelayMs(300)));
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Unknown);
    while stage.only().await.state == IntentState::Unknown {
        stage.tick().await;
    }
    assert_eq!(stage.counters.payouts_repeated_total.get() + stage.counters.payouts_replaced_total.get(), 0);
    assert_eq!(paid_once(stage).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_failure_inside_a_proxy_is_not_a_failure_of_the_send() {
    let (mut stage, _) = reserved().await;
    stage.fault(Fault::once(SEND, Phase::After, Action::Respond { status: 502, body: "{}".to_owned() }));
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Unknown);
    assert_eq!(paid_once(stage).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_daemon_killed_before_its_effect_is_asked_again_with_the_same_inputs_after_three_blocks() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (mut stage, reserved) = reserved_on(kind).await;
        let token = stage.daemon.token();
        stage.fault(Fault::once(SEND, Phase::During, Action::Restart { down_ms: 0 }));
        stage.tick().await;
        stage.wait_for_restart(&token);
        for _ in 0..3 {
            stage.ticks(3).await;
            let waiting = stage.only().await;
            assert_eq!((waiting.state, waiting.attempts.len()), (IntentState::Unknown, 1), "not before three blocks");
            stage.mine(1);
        }
        stage.ticks(3).await;
        let sent = stage.only().await;
        assert_eq!((sent.state, sent.attempts.len()), (IntentState::Broadcast, 2));
        assert_eq!(sent.attempts[0].outcome.as_deref(), Some("accepted"));
        assert_ne!(sent.attempts[1].idempotency_key, reserved.attempts[0].idempotency_key);
        assert_eq!(sent.attempts[1].inputs, reserved.attempts[0].inputs);
        assert_eq!(paid_once(stage).await.sends().len(), 1);
    }
}

#[actix_rt::test]
async fn a_transaction_that_the_dead_daemon_had_broadcast_is_recognised_by_its_change() {
    let (mut stage, _) = reserved().await;
    let token = stage.daemon.token();
    stage.fault(Fault::once(SEND, Phase::Effected, Action::Restart { down_ms: 0 }));
    stage.tick().await;
    stage.wait_for_restart(&token);
    assert!(stage.sends().is_empty(), "the wallet has forgotten it");
    stage.ticks(2).await;
    // The network has not.
    stage.mine_as(MineOrder { forgotten: true, ..MineOrder::default() });
    stage.ticks(2).await;
    let found = stage.only().await;
    assert_eq!((found.state, found.attempts.len()), (IntentState::Confirmed, 1));
    let stage = paid_once(stage).await;
    assert!(stage.sends().is_empty());
}

#[actix_rt::test]
async fn a_replacement_and_a_forgotten_broadcast_exclude_each_other() {
    let (mut stage, _) = reserved().await;
    let token = stage.daemon.token();
    stage.fault(Fault::once(SEND, Phase::Effected, Action::Restart { down_ms: 0 }));
    stage.tick().await;
    stage.wait_for_restart(&token);
    for _ in 0..4 {
        stage.ticks(3).await;
        stage.mine_empty(1);
    }
    let replaced = stage.only().await;
    assert_eq!(replaced.attempts.len(), 2);
    stage.control().clear_mempool();
    stage.mine_as(MineOrder { forgotten: true, empty: true, ..MineOrder::default() });
    paid_once(stage).await;
}

#[actix_rt::test]
async fn an_evicted_record_is_looked_for_by_memo_before_anything_is_repeated() {
    let (mut stage, _) = reserved().await;
    stage.fault(Fault::once(SEND, Phase::After, Action::Drop));
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Unknown);
    std::fs::remove_file(stage.keys_file()).unwrap();
    stage.restart_daemon();
    stage.ticks(4).await;
    let sent = stage.only().await;
    assert_eq!((sent.state, sent.attempts.len()), (IntentState::Broadcast, 1), "the wallet's history tells");
    assert_eq!(stage.counters.payouts_repeated_total.get(), 0);
    // Its mempool died with the daemon; the transaction comes back from the network.
    stage.mine_as(MineOrder { forgotten: true, ..MineOrder::default() });
    assert_eq!(paid_once(stage).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_transaction_that_vanishes_is_replaced_with_the_same_inputs_after_three_blocks() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (mut stage, reserved) = reserved_on(kind).await;
        stage.tick().await;
        let first = stage.only().await;
        assert_eq!(first.state, IntentState::Broadcast);
        stage.control().clear_mempool();
        for _ in 0..3 {
            stage.mine(1);
            stage.ticks(2).await;
            assert_eq!(stage.only().await.attempts.len(), 1, "not before three blocks");
        }
        stage.mine_empty(1);
        stage.ticks(3).await;
        let second = stage.only().await;
        assert_eq!((second.state, second.attempts.len()), (IntentState::Broadcast, 2));
        assert_eq!(second.attempts[1].inputs, reserved.attempts[0].inputs);
        assert_ne!(second.txid, first.txid);
        stage.audit().await;
        let stage = paid_once(stage).await;
        assert_eq!(stage.counters.payouts_replaced_total.get(), 1);
    }
}

#[actix_rt::test]
async fn the_first_transaction_may_win_over_its_replacement() {
    let (mut stage, _) = reserved().await;
    stage.tick().await;
    let first = stage.only().await.txid;
    stage.control().clear_mempool();
    for _ in 0..4 {
        stage.mine_empty(1);
        stage.ticks(2).await;
    }
    let second = stage.only().await;
    assert_eq!(second.attempts.len(), 2);
    assert_ne!(second.txid, first);
    // Other nodes had kept the first one.
    stage.control().clear_mempool();
    stage.mine_as(MineOrder { forgotten: true, empty: true, ..MineOrder::default() });
    stage.ticks(2).await;
    let found = stage.only().await;
    assert_eq!((found.state, found.txid), (IntentState::Confirmed, first));
    paid_once(stage).await;
}

#[actix_rt::test]
async fn a_reorganisation_takes_a_confirmation_back_and_nothing_is_paid_twice() {
    let (mut stage, _) = reserved().await;
    stage.tick().await;
    stage.mine(2);
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Confirmed);
    stage.control().reorganise(ReorgOrder { depth: 2, silent: false }).unwrap();
    stage.tick().await;
    assert_eq!(stage.only().await.state, IntentState::Broadcast, "it waits in the mempool again");
    assert_eq!(paid_once(stage).await.sends().len(), 1);
}

#[actix_rt::test]
async fn a_settled_payout_that_a_deep_reorganisation_takes_is_said_until_it_is_back() {
    let (mut stage, _) = reserved().await;
    stage.settle().await;
    stage.ticks(1).await;
    assert_eq!(stage.counters.payouts_displaced.get(), 0);
    stage.control().reorganise(ReorgOrder { depth: 6, silent: false }).unwrap();
    stage.tick().await;
    assert_eq!(stage.counters.payouts_displaced.get(), 1);
    stage.crash();
    stage.tick().await;
    assert_eq!(stage.counters.payouts_displaced.get(), 1, "a successor sees it too");
    stage.mine(1);
    stage.tick().await;
    assert_eq!(stage.counters.payouts_displaced.get(), 0);
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn an_input_that_a_reorganisation_takes_away_holds_the_payout_until_that_is_final() {
    let mut stage = Stage::new().await;
    stage.endow(2);
    stage.owe(&address(1), 100 * COIN).await;
    stage.owe(&address(2), 20 * COIN).await;
    let reserved = stage.reserve().await;
    stage.control().reorganise(ReorgOrder { depth: 6, silent: false }).unwrap();
    stage.endow(3);
    stage.ticks(2).await;
    let held = stage.only().await;
    assert_eq!((&held.id, held.state), (&reserved.id, IntentState::Unknown), "the daemon knows no such output");
    stage.mine(101);
    stage.ticks(2).await;
    assert_eq!(stage.find(&reserved.id).await.state, IntentState::Released);
    stage.sweep().await;
    paid_once(stage).await;
}

#[actix_rt::test]
async fn an_unreachable_daemon_leaves_the_payout_reserved() {
    let (mut stage, reserved) = reserved().await;
    let address = stage.daemon.url();
    let control = stage.control();
    let down = std::thread::spawn(move || control.restart(Duration::from_millis(400), false).unwrap());
    while std::net::TcpStream::connect(&address[7..]).is_ok() {
        std::thread::park_timeout(Duration::from_millis(2));
    }
    stage.tick().await;
    let still = stage.only().await;
    assert_eq!((still.state, still.attempts.len()), (IntentState::Reserved, reserved.attempts.len()));
    down.join().unwrap();
    assert_eq!(paid_once(stage).await.sends().len(), 1);
}

#[actix_rt::test]
async fn an_output_that_an_operator_spent_holds_the_payout_until_the_operator_has_looked() {
    let (mut stage, reserved) = reserved().await;
    // By hand, all that the wallet has: the payout's input is among it.
    stage.spend_by_hand(&address(9), 2_160 * COIN);
    stage.ticks(2).await;
    assert_eq!(stage.only().await.state, IntentState::Unknown, "the daemon has refused it");
    stage.mine(1);
    stage.ticks(2).await;
    let held = stage.only().await;
    // It is refused because its inputs are spent, which could be its own doing by way of another daemon.
    assert!(held.attention.as_deref().unwrap().contains("look into the wallet"), "{:?}", held.attention);
    assert_eq!(stage.counters.payouts_attention.get(), 1);
    stage.mine(50);
    stage.ticks(2).await;
    let release = OperatorDecision::Release { because: "I spent that output myself".to_owned() };
    assert!(stage.store.intent_say(&reserved.id, &release).await.unwrap());
    stage.ticks(2).await;
    let held = stage.only().await;
    assert_eq!((&held.id, held.state), (&reserved.id, IntentState::Unknown));
    assert!(held.attention.as_deref().unwrap().contains("counts from block"), "{:?}", held.attention);
    stage.mine(51);
    stage.ticks(2).await;
    let released = stage.find(&reserved.id).await;
    assert_eq!((released.state, released.word), (IntentState::Released, None));
    assert!(released.attempts[0].outcome.as_deref().unwrap().ends_with("I spent that output myself"));
    assert!(!stage.store.intent_say(&reserved.id, &release).await.unwrap(), "it is closed");
    stage.endow(2);
    stage.sweep().await;
    paid_once(stage).await;
}

#[actix_rt::test]
async fn an_operator_cannot_give_up_what_may_still_be_mined() {
    let (mut stage, reserved) = reserved().await;
    stage.fault(Fault::once(SEND, Phase::After, Action::Drop));
    stage.tick().await;
    stage.control().clear_mempool();
    let release = OperatorDecision::Release { because: "I think it is lost".to_owned() };
    assert!(stage.store.intent_say(&reserved.id, &release).await.unwrap());
    stage.ticks(2).await;
    let open = stage.only().await;
    assert_eq!((&open.id, open.word), (&reserved.id, None));
    paid_once(stage).await;
}

#[actix_rt::test]
async fn a_payout_that_was_never_asked_for_can_be_given_up_at_once() {
    let (mut stage, reserved) = reserved().await;
    let release = OperatorDecision::Release { because: "not now".to_owned() };
    assert!(stage.store.intent_say(&reserved.id, &release).await.unwrap());
    stage.ticks(2).await;
    assert_eq!(stage.find(&reserved.id).await.state, IntentState::Released);
    assert!(stage.sends().is_empty());
}

#[actix_rt::test]
async fn a_transaction_that_an_operator_names_settles_a_payout_when_a_block_holds_it() {
    let (mut stage, reserved) = reserved().await;
    let token = stage.daemon.token();
    stage.fault(Fault::once(SEND, Phase::Effected, Action::Restart { down_ms: 0 }));
    stage.tick().await;
    stage.wait_for_restart(&token);
    // Nobody but the network knows it any more.
    let named = OperatorDecision::Sent { txid: "ab".repeat(32) };
    assert!(stage.store.intent_say(&reserved.id, &named).await.unwrap());
    stage.ticks(2).await;
    let open = stage.only().await;
    assert!(open.attention.as_deref().unwrap().contains("no block holds"), "{:?}", open.attention);
    stage.mine_as(MineOrder { forgotten: true, ..MineOrder::default() });
    let income = stage.control().income(&address(1)).unwrap();
    let named = OperatorDecision::Sent { txid: income[0].txid.clone() };
    assert!(stage.store.intent_say(&reserved.id, &named).await.unwrap());
    stage.ticks(2).await;
    let found = stage.only().await;
    assert_eq!((found.state, found.txid.as_deref()), (IntentState::Confirmed, Some(income[0].txid.as_str())));
    paid_once(stage).await;
}
