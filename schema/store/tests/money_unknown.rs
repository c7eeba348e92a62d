//! Sends of the wallet that the books do not know, and what payouts know of the wallet.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use chain::TxId;
use common::log::{EPOCH, Log, line};
use common::money::{HOUR, NOW, atoms, fund, intent, intent_id, later, lease, line as recipient, reserved};
use common::{TestDb, for_each_database};
use store::StoreError;
use store::ledger::MONEY_LEASE;
use store::payouts::{Hold, PayoutBooks, ReadMark, SendDecision, SendPlace, UnknownSend};
use units::Height;

fn send(n: u8, place: SendPlace) -> UnknownSend {
    UnknownSend {
        txid: TxId([n; 32]),
        memo: intent_id(u32::from(n)),
        wallet: "pool".into(),
        sent_at: later(u64::from(n)),
        sent_height: Height::new(700),
        fee: atoms(40),
        recipients: vec![("A".into(), atoms(870)), ("A".into(), atoms(5)), ("B".into(), atoms(590))],
        defect: None,
        place,
        seen_height: Height::new(720),
        noted_at: NOW,
        noted_height: Height::new(720),
        decision: None,
        because: None,
        waits_for: None,
    }
}

async fn open(db: &TestDb) -> Vec<UnknownSend> {
    db.store.unknown_sends_open(10).await.unwrap()
}

#[test]
fn an_unknown_send_is_read_back_and_stops_payouts_until_it_is_decided() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        let sends = vec![
            send(1, SendPlace::Block(Height::new(701))),
            send(2, SendPlace::Mempool),
            UnknownSend { defect: Some("odd".into()), ..send(3, SendPlace::Nowhere) },
        ];
        db.store.unknown_sends_note(epoch, sends.clone()).await.unwrap();
        assert_eq!(open(db).await, sends);
        let totals = db.store.unknown_totals().await.unwrap();
        assert_eq!((totals.open, totals.undecided), (3, 3));

        // What is seen later changes where it is, and nothing else.
        let moved = UnknownSend {
            noted_at: later(99),
            seen_height: Height::new(730),
            ..send(2, SendPlace::Block(Height::new(725)))
        };
        db.store.unknown_sends_note(epoch, vec![moved.clone()]).await.unwrap();
        assert_eq!(open(db).await[1], UnknownSend { noted_at: NOW, ..moved });

        let all: Vec<TxId> = sends.iter().map(|send| send.txid).collect();
        let decide = async |decision| db.store.unknown_sends_decide(&all, decision, Some("why"), NOW).await.unwrap();
        assert_eq!(decide(SendDecision::Adopt).await, 2, "one has a defect");
        let totals = db.store.unknown_totals().await.unwrap();
        assert_eq!((totals.open, totals.undecided), (3, 1), "adopted ones stop payouts until they are booked");
        assert_eq!(open(db).await[0].because.as_deref(), Some("why"));
        db.store.unknown_send_waits(epoch, &all[0], Some("a block".into())).await.unwrap();
        assert_eq!(open(db).await[0].waits_for.as_deref(), Some("a block"));
        assert_eq!(decide(SendDecision::Foreign).await, 3);
        assert!(open(db).await.is_empty());
        assert_eq!(decide(SendDecision::Adopt).await, 0, "what is decided for good stays so");
        let fenced = db.store.unknown_sends_note(epoch + 1, sends).await;
        assert!(matches!(fenced, Err(StoreError::Fenced { .. })));
    });
}

#[test]
fn what_was_given_up_and_is_mined_all_the_same_is_undecided_again() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        db.store.unknown_sends_note(epoch, vec![send(1, SendPlace::Nowhere)]).await.unwrap();
        let txid = [send(1, SendPlace::Nowhere).txid];
        db.store.unknown_sends_decide(&txid, SendDecision::GivenUp, Some("old"), NOW).await.unwrap();
        db.store.unknown_sends_note(epoch, vec![send(1, SendPlace::Mempool)]).await.unwrap();
        assert!(open(db).await.is_empty());
        db.store.unknown_sends_note(epoch, vec![send(1, SendPlace::Block(Height::new(900)))]).await.unwrap();
        assert_eq!(open(db).await[0].decision, None);
    });
}

#[test]
fn a_payout_is_known_by_its_entry_for_ever() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        fund(db, epoch, "f1", "A", 1_000, NOW).await;
        let payout = intent(&intent_id(1), vec![recipient("A", 900, 870)]);
        db.store.intent_reserve(epoch, payout.clone(), reserved(&payout), NOW).await.unwrap();
        // As retention does in the end.
        for table in ["intent_recipients", "intent_attempts"] {
            db.sql(&format!("DELETE FROM {table}")).unwrap();
        }
        db.sql("DELETE FROM intents").unwrap();
        let asked = vec![intent_id(1), intent_id(2)];
        assert_eq!(db.store.payouts_known(asked).await.unwrap().into_iter().collect::<Vec<_>>(), [intent_id(1)]);
        assert!(db.store.payouts_known(Vec::new()).await.unwrap().is_empty());
    });
}

#[test]
fn the_books_lack_what_the_log_and_the_chain_still_hold() {
    for_each_database(async |db| {
        let lack = async || db.store.books_lack(NOW, Height::new(100), 3).await.unwrap();
        assert!(lack().await.unwrap().contains("looked through"));
        db.store.meta_set(store::retention::SWEPT_HEIGHT, "96").await.unwrap();
        assert!(lack().await.unwrap().contains("up to height 97"));
        db.store.meta_set(store::retention::SWEPT_HEIGHT, "97").await.unwrap();
        assert_eq!(lack().await, None);
        let mut log = Log::new(&db.store, "h1", vec![line("A", "w")]).await;
        assert!(lack().await.unwrap().contains("hosts: h1"));
        db.sql(&format!("UPDATE hosts SET caught_up_at = {}", NOW.ms())).unwrap();
        assert_eq!(lack().await, None);
        let share = log.share(0, EPOCH, 10);
        db.store.fold(log.candidate(&common::log::hash(97), 0, share, EPOCH)).await.unwrap();
        db.sql("UPDATE blocks SET height = 97").unwrap();
        assert!(lack().await.unwrap().contains("1 blocks are not credited"));
        for healed in ["displaced_at = 99", "displaced_at = NULL, height = 98", "height = 97, state = 'credited'"] {
            db.sql(&format!("UPDATE blocks SET {healed}")).unwrap();
            assert_eq!(lack().await, None, "{healed}");
        }
        db.sql("UPDATE hosts SET caught_up_at = 0, retired_at = 1").unwrap();
        assert_eq!(lack().await, None);
    });
}

#[test]
fn what_payouts_know_of_the_wallet_is_one_row_behind_the_lease() {
    for_each_database(async |db| {
        let store = &db.store;
        assert_eq!(store.payout_books().await.unwrap(), PayoutBooks::default());
        let epoch = lease(db, "one").await;
        let mark = ReadMark { wallet: "pool".into(), height: Height::new(9), sends: 4 };
        store.payout_read_mark(epoch, mark.clone()).await.unwrap();
        let hold = Hold { code: "short".into(), text: "x".into(), since_ms: 3, is_wanted: false };
        store.payout_holds_put(epoch, std::slice::from_ref(&hold)).await.unwrap();
        store.payout_steps_ahead(epoch, Some(7)).await.unwrap();
        let stored = store.payout_books().await.unwrap();
        assert_eq!(stored, PayoutBooks { steps: 0, steps_ahead: Some(7), read: Some(mark), holds: Some(vec![hold]) });
        assert!(!store.payout_steps_accept(8).await.unwrap());
        assert!(store.payout_steps_accept(7).await.unwrap());
        store.payout_steps_raise(epoch, 5).await.unwrap();
        assert_eq!(store.payout_books().await.unwrap().steps, 7, "never back");
        assert!(matches!(store.payout_holds_put(epoch + 1, &[]).await, Err(StoreError::Fenced { .. })));
    });
}

#[test]
fn asking_the_wallet_is_counted_once_per_time() {
    for_each_database(async |db| {
        let store = &db.store;
        assert!(store.money_lease_free_since().await.unwrap().is_some());
        let epoch = lease(db, "one").await;
        assert!(store.money_lease_free_since().await.unwrap().is_none());
        fund(db, epoch, "f1", "A", 1_000, NOW).await;
        let payout = intent(&intent_id(1), vec![recipient("A", 900, 870)]);
        store.intent_reserve(epoch, payout.clone(), reserved(&payout), NOW).await.unwrap();
        assert_eq!(store.intent_ask(epoch, &payout.id).await.unwrap(), 1);
        assert!(matches!(store.intent_ask(epoch, &payout.id).await, Err(StoreError::Conflict { .. })));
        let back = store::payouts::IntentChange {
            state: Some(store::payouts::IntentState::Reserved),
            ..store::payouts::IntentChange::default()
        };
        db.sql("UPDATE leases SET expires_at = 1").unwrap();
        let next = store.lease_take(MONEY_LEASE, "two", HOUR).await.unwrap().unwrap().epoch;
        let from = store::payouts::IntentState::Unknown;
        store.intent_change(next, &payout.id, from, back).await.unwrap();
        assert_eq!(store.intent_find(&payout.id).await.unwrap().unwrap().reserved_epoch, Some(next));
        assert_eq!(store.intent_ask(next, &payout.id).await.unwrap(), 2);
    });
}

#[test]
fn an_operator_decides_many_sends_while_the_pool_notes_them() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        let sends: Vec<UnknownSend> = (0..200).rev().map(|n| send(n, SendPlace::Mempool)).collect();
        let txids: Vec<TxId> = sends.iter().rev().map(|send| send.txid).collect();
        db.store.unknown_sends_note(epoch, sends.clone()).await.unwrap();
        for _ in 0..20 {
            let note = db.store.unknown_sends_note(epoch, sends.clone());
            let decide = db.store.unknown_sends_decide(&txids, SendDecision::Adopt, None, NOW);
            let (noted, decided) = futures_util::future::join(note, decide).await;
            noted.unwrap();
            assert_eq!(decided.unwrap(), 200);
        }
    });
}
