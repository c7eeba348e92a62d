//! Payout intents and what is due.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use accounting::{Entry, EntryKind};
use chain::TxId;
use common::money::{
    HOUR, NOW, atoms, attempt, entry, fund, intent, intent_id, later, lease, line, released, reserved, settled,
};
use common::{TestDb, for_each_database};
use store::StoreError;
use store::ledger::{Balance, MONEY_LEASE};
use store::payouts::{Due, Intent, IntentChange, IntentState};
use units::{Amount, Height};

/// Two funded miners and a reserved payout to both.
async fn with_reserved(db: &TestDb) -> (i64, Intent) {
    let epoch = lease(db, "one").await;
    fund(db, epoch, "f1", "A", 1_000, NOW).await;
    fund(db, epoch, "f2", "B", 600, NOW).await;
    let intent = intent(&intent_id(1), vec![line("A", 900, 870), line("B", 600, 590)]);
    db.store.intent_reserve(epoch, intent.clone(), reserved(&intent), NOW).await.unwrap();
    (epoch, Intent { reserved_epoch: Some(epoch), ..intent })
}

async fn stored(db: &TestDb, id: &str) -> Intent {
    db.store.intent_find(id).await.unwrap().expect("it is stored")
}

fn to(state: IntentState) -> IntentChange {
    IntentChange { state: Some(state), ..IntentChange::default() }
}

fn is_conflict<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Conflict { .. }))
}

fn is_fenced<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Fenced { .. }))
}

#[test]
fn a_reserved_payout_is_read_back_to_the_byte() {
    for_each_database(async |db| {
        let (_, intent) = with_reserved(db).await;
        for read in [stored(db, &intent.id).await, db.store.intent_list_open().await.unwrap().remove(0)] {
            assert_eq!(format!("{read:?}"), format!("{intent:?}"));
        }
        assert!(db.store.intent_find(&intent_id(2)).await.unwrap().is_none());
        let of_a = Balance { payable: atoms(100), inflight: atoms(900), paid: Amount::ZERO };
        assert_eq!(db.store.balance_of("A").await.unwrap(), of_a);
    });
}

#[test]
fn a_payout_beyond_a_balance_leaves_nothing_behind() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        fund(db, epoch, "f1", "A", 1_000, NOW).await;
        let greedy = intent(&intent_id(1), vec![line("A", 1_001, 1_000)]);
        assert!(is_conflict(db.store.intent_reserve(epoch, greedy.clone(), reserved(&greedy), NOW).await));
        assert!(is_fenced(db.store.intent_reserve(epoch + 1, greedy.clone(), reserved(&greedy), NOW).await));
        assert!(db.store.intent_list_open().await.unwrap().is_empty());
        assert_eq!(db.store.account_balance("payable:A").await.unwrap(), 1_000);
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM entries WHERE kind = 'payout_reserved'"), 0);
    });
}

#[test]
fn an_id_is_used_once() {
    for_each_database(async |db| {
        let (epoch, first) = with_reserved(db).await;
        assert!(is_conflict(db.store.intent_reserve(epoch, first.clone(), reserved(&first), NOW).await));
        // The same id with another entry, and another id with the same key.
        let other = intent(&first.id, vec![line("A", 50, 40)]);
        let fresh = Entry::payout_reserved("fresh", &[("A", atoms(50))]).unwrap();
        assert!(is_conflict(db.store.intent_reserve(epoch, other, fresh, NOW).await));
        let mut stolen = intent(&intent_id(2), vec![line("A", 50, 40)]);
        stolen.attempts = first.attempts.clone();
        assert!(is_conflict(db.store.intent_reserve(epoch, stolen.clone(), reserved(&stolen), NOW).await));
        assert_eq!(db.store.account_balance("payable:A").await.unwrap(), 100);
        assert_eq!(db.store.intent_list_open().await.unwrap().len(), 1);
    });
}

#[test]
fn a_change_needs_the_expected_state_and_the_lease() {
    for_each_database(async |db| {
        let (epoch, intent) = with_reserved(db).await;
        let store = &db.store;
        let id = intent.id.as_str();
        assert!(is_conflict(store.intent_change(epoch, id, IntentState::Unknown, to(IntentState::Broadcast)).await));
        assert!(is_conflict(
            store.intent_change(epoch, &intent_id(9), IntentState::Reserved, to(IntentState::Unknown)).await
        ));
        store.intent_change(epoch, id, IntentState::Reserved, to(IntentState::Unknown)).await.unwrap();

        db.sql("UPDATE leases SET expires_at = 1").unwrap();
        let next = store.lease_take(MONEY_LEASE, "two", HOUR).await.unwrap().unwrap().epoch;
        assert!(is_fenced(store.intent_change(epoch, id, IntentState::Unknown, to(IntentState::Broadcast)).await));
        assert!(is_fenced(store.intent_attempt_add(epoch, id, IntentState::Unknown, attempt(id, 2), "failed").await));
        let close =
            store.intent_close(epoch, id, IntentState::Unknown, IntentState::Settled, settled(&intent, 40), NOW);
        assert!(is_fenced(close.await));
        assert_eq!(stored(db, id).await.state, IntentState::Unknown);
        store.intent_change(next, id, IntentState::Unknown, to(IntentState::Broadcast)).await.unwrap();
    });
}

#[test]
fn a_change_touches_what_it_names_and_nothing_else() {
    for_each_database(async |db| {
        let (epoch, mut expected) = with_reserved(db).await;
        let id = expected.id.clone();
        let change = IntentChange {
            state: Some(IntentState::Broadcast),
            sent: Some((TxId([0xef; 32]), atoms(41), later(5))),
            absent_since: Some(Some(Height::new(702))),
            attention: Some(Some("look".into())),
            outcome: Some("sent".into()),
            repeated: true,
            heard: false,
        };
        db.store.intent_change(epoch, &id, IntentState::Reserved, change).await.unwrap();
        expected.state = IntentState::Broadcast;
        (expected.txid, expected.fee_paid, expected.sent_at) =
            (Some(TxId([0xef; 32])), Some(atoms(41)), Some(later(5)));
        (expected.absent_since, expected.attention) = (Some(Height::new(702)), Some("look".into()));
        expected.attempts[0].outcome = Some("sent".into());
        expected.attempts[0].repeated = true;
        assert_eq!(format!("{:?}", stored(db, &id).await), format!("{expected:?}"));

        db.store.intent_change(epoch, &id, IntentState::Broadcast, IntentChange::default()).await.unwrap();
        assert_eq!(format!("{:?}", stored(db, &id).await), format!("{expected:?}"));

        let clear = IntentChange { absent_since: Some(None), attention: Some(None), ..IntentChange::default() };
        db.store.intent_change(epoch, &id, IntentState::Broadcast, clear).await.unwrap();
        (expected.absent_since, expected.attention) = (None, None);
        assert_eq!(format!("{:?}", stored(db, &id).await), format!("{expected:?}"));
    });
}

#[test]
fn a_further_attempt_closes_the_one_before_it() {
    for_each_database(async |db| {
        let (epoch, intent) = with_reserved(db).await;
        let store = &db.store;
        let id = intent.id.as_str();
        let sent = IntentChange { sent: Some((TxId([0xef; 32]), atoms(41), later(5))), ..to(IntentState::Broadcast) };
        store.intent_change(epoch, id, IntentState::Reserved, sent).await.unwrap();

        let skipped = store.intent_attempt_add(epoch, id, IntentState::Broadcast, attempt(id, 3), "gone").await;
        assert!(is_conflict(skipped));
        assert!(is_conflict(store.intent_attempt_add(epoch, id, IntentState::Unknown, attempt(id, 2), "gone").await));
        store.intent_attempt_add(epoch, id, IntentState::Broadcast, attempt(id, 2), "gone").await.unwrap();

        let now = stored(db, id).await;
        assert_eq!(now.state, IntentState::Reserved);
        assert_eq!((now.txid, now.fee_paid, now.sent_at), (None, None, None));
        assert_eq!(
            now.attempts.iter().map(|attempt| attempt.outcome.as_deref()).collect::<Vec<_>>(),
            [Some("gone"), None]
        );
        assert_eq!(now.attempts[1], attempt(id, 2));
        // The outcome of a change is that of the newest attempt.
        let failed = IntentChange { outcome: Some("failed".into()), ..IntentChange::default() };
        store.intent_change(epoch, id, IntentState::Reserved, failed).await.unwrap();
        let outcomes: Vec<_> =
            stored(db, id).await.attempts.into_iter().map(|attempt| attempt.outcome.unwrap()).collect();
        assert_eq!(outcomes, ["gone", "failed"]);
    });
}

#[test]
fn a_payout_is_settled_once() {
    for_each_database(async |db| {
        let (epoch, intent) = with_reserved(db).await;
        let store = &db.store;
        let close =
            |from| store.intent_close(epoch, &intent.id, from, IntentState::Settled, settled(&intent, 35), later(60));
        assert!(is_conflict(close(IntentState::Confirmed).await));
        assert_eq!(store.account_balance("inflight:A").await.unwrap(), 900, "the entry was rolled back too");

        let outcomes =
            tokio::join!(close(IntentState::Reserved), close(IntentState::Reserved), close(IntentState::Reserved));
        let outcomes = [outcomes.0, outcomes.1, outcomes.2];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(store.intent_list_open().await.unwrap().is_empty());
        assert_eq!(stored(db, &intent.id).await.state, IntentState::Settled);
        assert_eq!(store.intent_list_settled(Height::new(700)).await.unwrap()[0].id, intent.id);
        assert!(store.intent_list_settled(Height::new(701)).await.unwrap().is_empty());
        let of_a = Balance { payable: atoms(100), inflight: Amount::ZERO, paid: atoms(870) };
        assert_eq!(store.balance_of("A").await.unwrap(), of_a);
        assert_eq!(store.account_balance("network_fee").await.unwrap(), 35);
        assert_eq!(store.account_balance("pool_fee").await.unwrap(), 5);
    });
}

#[test]
fn a_released_payout_is_payable_again() {
    for_each_database(async |db| {
        let (epoch, intent) = with_reserved(db).await;
        let back = released(&intent);
        db.store
            .intent_close(epoch, &intent.id, IntentState::Reserved, IntentState::Released, back, NOW)
            .await
            .unwrap();
        assert_eq!(db.store.balance_of("A").await.unwrap(), Balance { payable: atoms(1_000), ..Balance::default() });
        assert_eq!(stored(db, &intent.id).await.state, IntentState::Released);
        assert_eq!(db.store.payout_list(0, 9).await.unwrap().1, 0, "nothing was paid");
        assert!(db.store.payout_list_of("A", 9).await.unwrap().is_empty());
        assert!(db.store.intent_list_open().await.unwrap().is_empty());
    });
}

#[test]
fn open_payouts_come_oldest_first() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        fund(db, epoch, "f1", "A", 1_000, NOW).await;
        for (n, seconds) in [(1, 30), (2, 10), (3, 20)] {
            let mut intent = intent(&intent_id(n), vec![line("A", 100, 90)]);
            intent.created_at = later(seconds);
            db.store.intent_reserve(epoch, intent.clone(), reserved(&intent), NOW).await.unwrap();
        }
        let ids: Vec<_> = db.store.intent_list_open().await.unwrap().into_iter().map(|intent| intent.id).collect();
        assert_eq!(ids, [intent_id(2), intent_id(3), intent_id(1)]);
    });
}

#[test]
fn who_waits_longest_is_due_first() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        let store = &db.store;
        // A waits since 10 although it was credited again later; B is rich but late; C is poor; D waits like A.
        for (reference, address, amount, at) in
            [("1", "A", 500, 10), ("2", "D", 600, 10), ("3", "B", 9_000, 20), ("4", "A", 500, 30), ("5", "C", 99, 1)]
        {
            fund(db, epoch, reference, address, amount, later(at)).await;
        }
        let due = |address: &str, payable, since| Due {
            address: address.into(),
            payable: atoms(payable),
            waiting_since: later(since),
        };
        assert_eq!(
            store.payout_list_due(atoms(100), 10).await.unwrap(),
            [due("A", 1_000, 10), due("D", 600, 10), due("B", 9_000, 20)]
        );
        assert_eq!(store.payout_list_due(atoms(100), 1).await.unwrap(), [due("A", 1_000, 10)]);
        assert_eq!(store.payout_list_due(atoms(9_001), 10).await.unwrap(), []);

        // A part of A's balance is reserved: the rest waits since then, until the next credit says otherwise.
        let part = intent(&intent_id(1), vec![line("A", 800, 790)]);
        store.intent_reserve(epoch, part.clone(), reserved(&part), later(40)).await.unwrap();
        assert_eq!(store.payout_list_due(atoms(150), 10).await.unwrap()[2], due("A", 200, 40));
        fund(db, epoch, "6", "A", 5, later(50)).await;
        fund(db, epoch, "7", "A", 5, later(60)).await;
        assert_eq!(store.payout_list_due(atoms(150), 10).await.unwrap()[2], due("A", 210, 50));

        // What is taken for another reason does not cost its place.
        let taken = entry(EntryKind::BlockReversed, "aa", &[("payable:D", -100), ("chain_rewards", 100)]);
        store.entry_post(epoch, taken, later(70)).await.unwrap();
        assert_eq!(store.payout_list_due(atoms(150), 10).await.unwrap()[0], due("D", 500, 10));
    });
}
