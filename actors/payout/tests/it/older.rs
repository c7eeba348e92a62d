//! The wallet has sent what the books do not know: they are a copy from before.
use chain::TxId;
use daemon_sim::{Action, Fault, Phase};
use messages::conditions::ConditionKind;
use store::payouts::{IntentChange, IntentState, SendDecision, SendPlace, UnknownSend};
use units::{Amount, Timestamp};

use crate::database::Kind;
use crate::harness::{COIN, Harness, address, atoms};

const UNKNOWN: &str = "the wallet has sends that the books do not know";
const AT: Timestamp = Timestamp::from_ms(1);

/// Two miners were paid and settled; then the books are a copy from before that, and the wallet could pay all again.
async fn restored(kind: Kind) -> Harness {
    let mut harness = Harness::on(kind).await;
    harness.endow(8);
    harness.owe(&address(1), 100 * COIN).await;
    harness.owe(&address(2), 20 * COIN).await;
    harness.sweep().await;
    harness.settle().await;
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
    assert_eq!(harness.sends().len(), 1);
    harness.put_old_books_back().await;
    harness
}

async fn unknown(harness: &Harness) -> Vec<UnknownSend> {
    harness.store.unknown_sends_open(100).await.unwrap()
}

async fn decide(harness: &Harness, decision: SendDecision) -> usize {
    let txids: Vec<TxId> = unknown(harness).await.into_iter().map(|send| send.txid).collect();
    harness.store.unknown_sends_decide(&txids, decision, Some("a test"), AT).await.unwrap()
}

pub(crate) async fn runs(harness: &mut Harness, count: usize) {
    for _ in 0..count {
        harness.sweep().await;
        harness.ticks(2).await;
        harness.mine(1);
    }
}

#[actix_rt::test]
async fn what_was_paid_before_the_copy_is_not_paid_again() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut harness = restored(kind).await;
        runs(&mut harness, 4).await;
        assert_eq!(harness.sends().len(), 1, "it was paid already");
        assert!(harness.open().await.is_empty());
        let detail = harness.wait_condition(ConditionKind::PayoutsHeld, Some(UNKNOWN)).await;
        assert!(detail.contains("1 sends") && detail.contains("1 of them undecided"), "{detail}");
        let holds = harness.store.payout_books().await.unwrap().holds.unwrap();
        assert!(holds.iter().any(|hold| hold.code == "unknown_sends" && !hold.is_wanted), "{holds:?}");
        let found = unknown(&harness).await.remove(0);
        let sent = harness.sends().remove(0).record;
        assert_eq!((found.txid, found.fee.atoms()), (sent.txid, sent.fee));
        assert_eq!(found.total().atoms(), sent.total_amount);
        assert!(matches!(found.place, SendPlace::Block(_)) && found.defect.is_none());

        // Booked when the books have caught up, and not before.
        assert_eq!(decide(&harness, SendDecision::Adopt).await, 1);
        runs(&mut harness, 2).await;
        assert_eq!(harness.balance(&address(1)).await.payable, atoms(100 * COIN));
        let detail = harness.wait_condition(ConditionKind::PayoutsHeld, Some(UNKNOWN)).await;
        assert!(detail.contains("looked through"), "{detail}");
        harness.catch_up().await;
        harness.wait_condition(ConditionKind::PayoutsHeld, None).await;
        harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
        assert_eq!(harness.balance(&address(1)).await.payable, Amount::ZERO, "to the atom what it had");
        assert_eq!((harness.account("pool_fee").await, harness.account("orphan_loss").await), (0, 0));
        assert_eq!(harness.metrics.payouts_adopted_total.get(), 1);

        // Payouts go on; the wallet is not read from its beginning again.
        harness.owe(&address(1), 7 * COIN).await;
        runs(&mut harness, 1).await;
        harness.settle().await;
        harness.check(&[(&address(1), 2), (&address(2), 1)]).await;
        let read = harness.store.payout_books().await.unwrap().read.unwrap();
        assert!(read.height.get() > 0);
    }
}

#[actix_rt::test]
async fn what_a_balance_lacks_comes_from_the_fees_and_then_is_a_loss() {
    for (fees, lost) in [(0, 30 * COIN), (10 * COIN, 20 * COIN), (50 * COIN, 0)] {
        let mut harness = restored(Kind::Sqlite).await;
        // Less than was paid then.
        harness
            .post(&[
                (format!("payable:{}", address(1)), -(30 * i64::try_from(COIN).unwrap())),
                ("adjustment".into(), 30 * i64::try_from(COIN).unwrap()),
            ])
            .await;
        if fees > 0 {
            let fees = i64::try_from(fees).unwrap();
            harness.post(&[("pool_fee".into(), fees), ("chain_rewards".into(), -fees)]).await;
        }
        harness.catch_up().await;
        runs(&mut harness, 1).await;
        decide(&harness, SendDecision::Adopt).await;
        harness.wait_condition(ConditionKind::PayoutsHeld, None).await;
        harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
        assert_eq!(harness.account("orphan_loss").await, -i64::try_from(lost).unwrap());
        let fees_left = (fees + lost).saturating_sub(30 * COIN);
        assert_eq!(harness.account("pool_fee").await, i64::try_from(fees_left).unwrap());
    }
}

#[actix_rt::test]
async fn what_was_paid_to_an_address_without_checksum_is_taken_from_its_account() {
    let (network, text) = (chain::Network::Testnet, address(1));
    let legacy = chain::Address::parse(&text, &network).unwrap().legacy_text();
    let mut harness = Harness::on(Kind::Sqlite).await;
    harness.endow(8);
    harness.owe(&text, 100 * COIN).await;
    harness.spend_with_memo(&legacy, 40 * COIN, &"5".repeat(32));
    harness.mine(100);
    harness.catch_up().await;
    runs(&mut harness, 1).await;
    assert_eq!(unknown(&harness).await[0].recipients, [(text.clone(), atoms(40 * COIN))]);
    decide(&harness, SendDecision::Adopt).await;
    harness.wait_condition(ConditionKind::PayoutsHeld, None).await;
    harness.audit().await;
    assert_eq!(harness.balance(&text).await.paid, atoms(40 * COIN));
    assert_eq!((harness.balance(&legacy).await.paid, harness.account("orphan_loss").await), (Amount::ZERO, 0));
}

#[actix_rt::test]
async fn a_crash_at_any_await_of_an_adoption_books_it_once() {
    let mut polls = 1;
    loop {
        let mut harness = restored(Kind::Sqlite).await;
        harness.catch_up().await;
        runs(&mut harness, 1).await;
        decide(&harness, SendDecision::Adopt).await;
        let over = harness.tick_until_crash(false, polls).await;
        harness.wait_condition(ConditionKind::PayoutsHeld, None).await;
        harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
        assert_eq!(harness.sends().len(), 1);
        if over {
            break;
        }
        polls += 3;
    }
}

#[actix_rt::test]
async fn sends_of_another_pool_are_marked_once_and_stop_nothing_any_more() {
    let mut harness = restored(Kind::Sqlite).await;
    runs(&mut harness, 1).await;
    assert_eq!(decide(&harness, SendDecision::Foreign).await, 1);
    runs(&mut harness, 2).await;
    harness.settle().await;
    // So an operator wanted it.
    harness.audit().await;
    assert_eq!(harness.sends().len(), 2);
    harness.take_lease("next").await;
    harness.owe(&address(3), COIN).await;
    runs(&mut harness, 1).await;
    harness.settle().await;
    assert_eq!(harness.sends().len(), 3);
}

#[actix_rt::test]
async fn sends_without_a_payouts_memo_stop_nothing() {
    let mut harness = Harness::new().await;
    harness.endow(8);
    harness.spend_by_hand(&address(7), COIN);
    harness.mine(2);
    harness.owe(&address(1), COIN).await;
    harness.sweep().await;
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
    assert!(unknown(&harness).await.is_empty());
}

#[actix_rt::test]
async fn a_send_that_appears_under_the_same_lease_is_noticed_in_the_next_run() {
    let mut harness = Harness::new().await;
    harness.endow(8);
    harness.owe(&address(1), COIN).await;
    harness.sweep().await;
    harness.settle().await;
    harness.spend_with_memo(&address(7), COIN, &"5".repeat(32));
    harness.owe(&address(1), COIN).await;
    runs(&mut harness, 2).await;
    assert_eq!(harness.sends().len(), 2);
    assert_eq!(unknown(&harness).await.len(), 1);
}

#[actix_rt::test]
async fn a_send_that_no_block_holds_waits_and_is_booked_when_one_does() {
    let mut harness = Harness::new().await;
    harness.endow(8);
    harness.owe(&address(1), 3 * COIN).await;
    harness.spend_with_memo(&address(1), COIN, &"5".repeat(32));
    harness.catch_up().await;
    harness.sweep().await;
    harness.tick().await;
    assert_eq!(unknown(&harness).await[0].place, SendPlace::Mempool);
    decide(&harness, SendDecision::Adopt).await;
    harness.ticks(2).await;
    assert_eq!(unknown(&harness).await[0].waits_for.as_deref(), Some("no block holds it yet"));
    // An empty block changes nothing; then one takes it.
    harness.mine_empty(1);
    harness.ticks(2).await;
    assert_eq!(unknown(&harness).await.len(), 1);
    for _ in 0..2 {
        harness.mine(1);
        harness.ticks(3).await;
    }
    assert!(unknown(&harness).await[0].waits_for.as_deref().unwrap().contains("booked 3 blocks later"));
    for _ in 0..3 {
        harness.mine(1);
        harness.ticks(3).await;
    }
    assert!(unknown(&harness).await.is_empty());
    assert_eq!(harness.balance(&address(1)).await.paid, atoms(COIN));
    harness.audit().await;
    harness.sweep().await;
    harness.settle().await;
    harness.check(&[(&address(1), 2)]).await;
}

#[actix_rt::test]
async fn two_mined_transactions_of_one_payout_are_not_guessed_about() {
    let mut harness = Harness::new().await;
    harness.endow(8);
    harness.owe(&address(1), 5 * COIN).await;
    for coins in [1, 2] {
        harness.spend_with_memo(&address(1), coins * COIN, &"5".repeat(32));
        harness.mine(4);
    }
    harness.catch_up().await;
    runs(&mut harness, 1).await;
    assert_eq!(decide(&harness, SendDecision::Adopt).await, 2);
    runs(&mut harness, 3).await;
    let held = unknown(&harness).await;
    assert_eq!(held.len(), 2);
    assert!(held.iter().all(|send| send.waits_for.as_deref().unwrap().contains("blocks hold both")), "{held:?}");
    assert_eq!(harness.balance(&address(1)).await.paid, Amount::ZERO);
    // An operator says which one is none of this pool's.
    let foreign = held.iter().find(|send| send.total() == atoms(2 * COIN)).unwrap().txid;
    harness.store.unknown_sends_decide(&[foreign], SendDecision::Foreign, Some("a test"), AT).await.unwrap();
    harness.mine(1);
    harness.ticks(3).await;
    assert!(unknown(&harness).await.is_empty());
    assert_eq!(harness.balance(&address(1)).await.paid, atoms(COIN));
    harness.audit().await;
}

#[actix_rt::test]
async fn what_cannot_be_a_payout_is_not_adopted() {
    let mut harness = Harness::new().await;
    harness.endow(8);
    harness.owe(&address(1), COIN).await;
    let mixed = [(address(1), COIN, "5".repeat(32)), (address(2), COIN, "6".repeat(32))];
    harness.spend_with_memos(&mixed);
    runs(&mut harness, 2).await;
    let held = unknown(&harness).await;
    assert!(held[0].defect.as_deref().unwrap().contains("different memos"));
    assert_eq!(decide(&harness, SendDecision::Adopt).await, 0);
    assert_eq!(harness.sends().len(), 1);
    assert_eq!(decide(&harness, SendDecision::Foreign).await, 1);
    harness.sweep().await;
    harness.settle().await;
    assert_eq!(harness.sends().len(), 2);
}

#[actix_rt::test]
async fn a_long_history_is_read_in_steps_and_nothing_is_sent_before_its_end() {
    let mut harness = Harness::new().await;
    harness.endow(3);
    harness.control().invent_sends(1_000, |n| format!("{n:032x}")).unwrap();
    harness.owe(&address(1), COIN).await;
    harness.sweep().await;
    assert!(harness.open().await.is_empty(), "a part of it is read");
    let first = unknown(&harness).await.len();
    assert!((1..1_000).contains(&first), "{first}");
    for _ in 0..10 {
        harness.tick().await;
    }
    assert_eq!(harness.store.unknown_totals().await.unwrap().open, 1_000);
    assert!(harness.open().await.is_empty());
}

#[actix_rt::test]
async fn a_payout_that_an_earlier_lease_reserved_is_asked_for_before_it_is_sent() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut harness = Harness::on(kind).await;
        harness.endow(8);
        harness.owe(&address(1), COIN).await;
        let reserved = harness.reserve().await;
        // The books are older than the send: they still say that it is reserved.
        harness.tick().await;
        assert_eq!(harness.only().await.state, IntentState::Broadcast);
        let back = IntentChange { state: Some(IntentState::Reserved), ..IntentChange::default() };
        harness.store.intent_change(harness.epoch, &reserved.id, IntentState::Broadcast, back).await.unwrap();
        harness.take_lease("next").await;
        harness.ticks(2).await;
        let followed = harness.only().await;
        assert_eq!((followed.state, followed.attempts.len()), (IntentState::Broadcast, 1));
        assert!(!followed.attempts[0].repeated);
        harness.settle().await;
        assert_eq!(harness.sends().len(), 1);
        harness.check(&[(&address(1), 1)]).await;
    }
}

#[actix_rt::test]
async fn a_reserved_payout_that_nobody_was_asked_for_is_sent_under_the_next_lease() {
    let mut harness = Harness::new().await;
    harness.endow(8);
    harness.owe(&address(1), COIN).await;
    harness.reserve().await;
    harness.take_lease("next").await;
    harness.settle().await;
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn a_reading_that_is_broken_off_goes_on_where_it_was() {
    let mut harness = Harness::new().await;
    harness.endow(3);
    harness.control().invent_sends(300, |n| format!("{n:032x}")).unwrap();
    harness.fault(Fault::once("wallet/sends", Phase::Before, Action::Drop));
    for _ in 0..8 {
        harness.tick().await;
    }
    assert_eq!(harness.store.unknown_totals().await.unwrap().open, 300);
}

#[actix_rt::test]
async fn nothing_is_booked_while_a_payout_of_the_old_books_may_or_may_not_have_been_sent() {
    let mut harness = Harness::new().await;
    harness.endow(8);
    harness.owe(&address(1), 5 * COIN).await;
    harness.reserve().await;
    let token = harness.daemon.token();
    harness.fault(Fault::once("wallet/send/advanced", Phase::During, Action::Restart { down_ms: 0 }));
    harness.tick().await;
    harness.wait_for_restart(&token);
    assert_eq!(harness.only().await.state, IntentState::Unknown);
    harness.load_wallet();
    harness.owe(&address(2), COIN).await;
    harness.spend_with_memo(&address(2), COIN, &"5".repeat(32));
    harness.mine(1);
    harness.catch_up().await;
    harness.sweep().await;
    decide(&harness, SendDecision::Adopt).await;
    let detail = harness.wait_condition(ConditionKind::PayoutsHeld, Some(UNKNOWN)).await;
    assert!(detail.contains("it is not known yet whether payout"), "{detail}");
    // What became of the payout is known some blocks after it could have been mined; until then nothing else moves.
    let held = |harness: &Harness| harness.conditions.list().iter().any(|told| told.kind == ConditionKind::PayoutsHeld);
    for _ in 0..40 {
        harness.mine(1);
        harness.ticks(3).await;
        if !held(&harness) {
            break;
        }
    }
    harness.wait_condition(ConditionKind::PayoutsHeld, None).await;
    harness.settle().await;
    harness.audit().await;
    assert_eq!(harness.income(&address(1)).len(), 1);
    assert_eq!(harness.balance(&address(2)).await.paid, atoms(COIN));
}
