//! Payouts that were sent without these books.
use accounting::EntryKind;
use chain::TxId;
use store::ledger::Balances;
use store::payouts::{Intent, IntentState, SendDecision, SendPlace, UnknownSend};
use units::{Height, Timestamp};

use super::{audit, damage, unguard};
use crate::common::money::{NOW, atoms, entry, fund, intent, intent_id, lease, line, settled};
use crate::common::{TestDb, for_each_database};

const AT: Timestamp = NOW;

/// A had 500 of 900, B had all of 600, the pool's fees were 300: 100 are lost. Returns the lease's epoch.
async fn adopted(db: &TestDb) -> i64 {
    let epoch = lease(db, "one").await;
    fund(db, epoch, "f1", "A", 500, NOW).await;
    fund(db, epoch, "f2", "B", 1_000, NOW).await;
    let fees = entry(EntryKind::Adjustment, "fees", &[("adjustment", -300), ("pool_fee", 300)]);
    db.store.entry_post(epoch, fees, NOW).await.unwrap();
    let id = intent_id(7);
    let send = UnknownSend {
        txid: TxId([0xab; 32]),
        memo: id.clone(),
        wallet: "pool".into(),
        sent_at: NOW,
        sent_height: Height::new(700),
        fee: atoms(40),
        recipients: vec![("A".into(), atoms(870)), ("B".into(), atoms(590))],
        defect: None,
        place: SendPlace::Block(Height::new(701)),
        seen_height: Height::new(720),
        noted_at: NOW,
        noted_height: Height::new(720),
        decision: None,
        because: None,
        waits_for: None,
    };
    db.store.unknown_sends_note(epoch, vec![send.clone()]).await.unwrap();
    let chosen = [send.txid];
    assert_eq!(db.store.unknown_sends_decide(&chosen, SendDecision::Adopt, None, AT).await.unwrap(), 1);
    let payout = Intent {
        state: IntentState::Settled,
        fee_expected: atoms(40),
        fee_paid: Some(atoms(40)),
        txid: Some(send.txid),
        sent_at: Some(NOW),
        attempts: Vec::new(),
        ..intent(&id, vec![line("A", 900, 870), line("B", 600, 590)])
    };
    let reserve = |balances: &Balances| {
        let balances: Vec<_> = balances.iter().map(|(account, held)| (account.to_string(), held)).collect();
        let expected = [("payable:A", 500), ("payable:B", 1_000), ("pool_fee", 300)];
        assert_eq!(balances, expected.map(|(key, balance)| (key.to_owned(), balance)));
        let postings = [
            ("payable:A", -500),
            ("inflight:A", 900),
            ("payable:B", -600),
            ("inflight:B", 600),
            ("pool_fee", -300),
            ("orphan_loss", -100),
        ];
        entry(EntryKind::PayoutReserved, "00000000000000000000000000000007", &postings)
    };
    let close = settled(&payout, 40);
    db.store.payout_adopt(epoch, payout.clone(), reserve, close.clone(), AT).await.unwrap();
    let again = db.store.payout_adopt(epoch, payout, |_| unreachable!("it is booked"), close, AT).await;
    assert!(matches!(again, Err(store::StoreError::Conflict { .. })));
    epoch
}

#[test]
fn an_adopted_payout_has_no_differences_whatever_comes_after_it() {
    for_each_database(async |db| {
        let epoch = adopted(db).await;
        assert_eq!(audit(db).await, []);
        fund(db, epoch, "f3", "A", 5_000, NOW).await;
        assert_eq!(audit(db).await, []);
        assert_eq!(db.store.balance_of("A").await.unwrap().paid, atoms(870));
        assert_eq!(db.store.account_balance("orphan_loss").await.unwrap(), -100);
    });
}

#[test]
fn damage_to_an_adopted_payout_is_found() {
    let says = "payout entry says what the payout says";
    let table = [
        ("UPDATE intents SET adopted_at = NULL", "UPDATE intents SET adopted_at = 5", says),
        (
            "UPDATE intent_recipients SET gross = gross - 1, net = net - 1 WHERE gross = 600",
            "UPDATE intent_recipients SET gross = gross + 1, net = net + 1 WHERE gross = 599",
            says,
        ),
        (
            "UPDATE postings SET amount = -499 WHERE amount = -500; UPDATE postings SET amount = -101 WHERE amount = -100",
            "UPDATE postings SET amount = -500 WHERE amount = -499; UPDATE postings SET amount = -100 WHERE amount = -101",
            says,
        ),
    ];
    for_each_database(async |db| {
        adopted(db).await;
        unguard(db);
        for (harm, heal, check) in table {
            damage(db, harm);
            let found = audit(db).await;
            assert!(found.iter().any(|difference| difference.check == check), "{harm}: {found:#?}");
            damage(db, heal);
            assert_eq!(audit(db).await, [], "{heal}");
        }
    });
}
