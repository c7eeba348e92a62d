//! Short ways to post money.
use std::time::Duration;

use store::ledger::{MONEY_LEASE, NewEntry, NewPosting};
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

pub fn entry(kind: &'static str, reference: &str, postings: &[(&str, i64)]) -> NewEntry {
    let postings = postings.iter().map(|(account, amount)| NewPosting { account: (*account).into(), amount: *amount });
    NewEntry { kind, reference: reference.into(), postings: postings.collect() }
}

pub async fn lease(db: &TestDb, holder: &str) -> i64 {
    db.store.lease_take(MONEY_LEASE, holder, HOUR).await.unwrap().expect("the lease is free").epoch
}

/// Gives `address` `amount` from nowhere.
pub async fn fund(db: &TestDb, epoch: i64, reference: &str, address: &str, amount: i64, at: Timestamp) {
    let postings = [("adjustment", -amount), (&*format!("payable:{address}"), amount)];
    db.store.entry_post(epoch, entry("adjustment", reference, &postings), at).await.unwrap();
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
        inputs: vec![("ab".repeat(32), 3), ("cd".repeat(32), 0)],
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

/// Moves the intent's money between two kinds of account.
pub fn moved(kind: &'static str, intent: &Intent, from: &str, to: &str) -> NewEntry {
    let mut postings = Vec::new();
    for line in &intent.lines {
        let gross = line.gross.to_i64();
        postings.push(NewPosting { account: format!("{from}:{}", line.address), amount: -gross });
        postings.push(NewPosting { account: format!("{to}:{}", line.address), amount: gross });
    }
    NewEntry { kind, reference: intent.id.clone(), postings }
}

pub fn reserved(intent: &Intent) -> NewEntry {
    moved("payout_reserved", intent, "payable", "inflight")
}

/// The recipients bear the fee; what is left of it goes to the pool.
pub fn settled(intent: &Intent, fee: u64) -> NewEntry {
    let mut postings = Vec::new();
    let mut left = 0;
    for line in &intent.lines {
        postings.push(NewPosting { account: format!("inflight:{}", line.address), amount: -line.gross.to_i64() });
        postings.push(NewPosting { account: format!("paid_out:{}", line.address), amount: line.net.to_i64() });
        left += line.gross.to_i64() - line.net.to_i64();
    }
    let fee = i64::try_from(fee).unwrap();
    postings.push(NewPosting { account: "network_fee".into(), amount: fee });
    postings.push(NewPosting { account: "pool_fee".into(), amount: left - fee });
    postings.retain(|posting| posting.amount != 0);
    NewEntry { kind: "payout_settled", reference: intent.id.clone(), postings }
}

/// An id as intents have.
pub fn intent_id(n: u32) -> String {
    format!("{n:032x}")
}
