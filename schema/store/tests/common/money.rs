//! Short ways to post money.
use chain::TxId;
use std::time::Duration;

use accounting::{Account, Entry, EntryKind, Paid};
use store::ledger::MONEY_LEASE;
use store::payouts::{Attempt, Intent, IntentLine, IntentState};
use units::{Amount, Height, Timestamp};

use super::TestDb;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

pub fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

pub fn atoms(atoms: u64) -> Amount {
    Amount::from_atoms(atoms).unwrap()
}

pub fn account(key: &str) -> Account {
    key.parse().unwrap()
}

pub fn entry(kind: EntryKind, reference: &str, postings: &[(&str, i64)]) -> Entry {
    Entry::new(kind, reference, postings.iter().map(|(key, amount)| (account(key), *amount))).unwrap()
}

pub async fn lease(db: &TestDb, holder: &str) -> i64 {
    db.store.lease_take(MONEY_LEASE, holder, HOUR).await.unwrap().expect("the lease is free").epoch
}

/// Gives `address` `amount` from nowhere.
pub async fn fund(db: &TestDb, epoch: i64, reference: &str, address: &str, amount: i64, at: Timestamp) {
    let postings = [("adjustment", -amount), (&*format!("payable:{address}"), amount)];
    db.store.entry_post(epoch, entry(EntryKind::Adjustment, reference, &postings), at).await.unwrap();
}

pub fn line(address: &str, gross: u64, net: u64) -> IntentLine {
    IntentLine { address: address.into(), gross: atoms(gross), net: atoms(net) }
}

pub fn attempt(id: &str, number: i64) -> Attempt {
    Attempt {
        attempt: number,
        route: "advanced",
        idempotency_key: format!("{id}-{number}"),
        body: vec![0, 255, b'{', 10, 13, b'"', number.to_le_bytes()[0]],
        inputs: vec![(TxId([0xab; 32]), 3).into(), (TxId([0xcd; 32]), 0).into()],
        created_at: NOW,
        created_height: Height::new(700),
        outcome: None,
        repeated: false,
    }
}

/// A reserved payout as the payout actor stores it.
pub fn intent(id: &str, lines: Vec<IntentLine>) -> Intent {
    Intent {
        id: id.into(),
        state: IntentState::Reserved,
        gross: Amount::checked_sum(lines.iter().map(|line| line.gross)).unwrap(),
        fee_expected: atoms(40),
        fee_paid: None,
        txid: None,
        created_at: NOW,
        created_height: Height::new(700),
        sent_at: None,
        absent_since: None,
        attention: None,
        wallet: Some("pool".into()),
        word: None,
        reserved_epoch: None,
        adopted_at: None,
        lines,
        attempts: vec![attempt(id, 1)],
    }
}

pub fn reserved(intent: &Intent) -> Entry {
    Entry::payout_reserved(&intent.id, &gross(intent)).unwrap()
}

pub fn released(intent: &Intent) -> Entry {
    Entry::payout_released(&intent.id, &gross(intent)).unwrap()
}

fn gross(intent: &Intent) -> Vec<(&str, Amount)> {
    intent.lines.iter().map(|line| (line.address.as_str(), line.gross)).collect()
}

/// The recipients bear the fee; what is left of it goes to the pool.
pub fn settled(intent: &Intent, fee: u64) -> Entry {
    let paid = intent.lines.iter().map(|line| Paid { address: &line.address, gross: line.gross, net: line.net });
    Entry::payout_settled(&intent.id, &paid.collect::<Vec<_>>(), atoms(fee)).unwrap()
}

/// An id as intents have.
pub fn intent_id(n: u32) -> String {
    format!("{n:032x}")
}
