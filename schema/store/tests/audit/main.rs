//! A clean history has no differences, and every kind of damage is found.
#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails it")]
mod adopted;
#[path = "../common/mod.rs"]
mod common;
mod damage;

use accounting::{Entry, EntryKind};
use common::credits::{credit, weigh};
use common::log::{EPOCH, Log, at, hash, line};
use common::money::{NOW, entry, intent, intent_id, later, lease, line as recipient, released, reserved, settled};
use common::{TestDb, for_each_database};
use damage::{BLOCKS, BOOKS, PAYOUTS, SHARES};
use store::audit::{Difference, Priced};
use store::batch::ShareBatch;
use store::payouts::{IntentChange, IntentState};
use units::Amount;

async fn audit(db: &TestDb) -> Vec<Difference> {
    let mut found = db.store.audit_entries().await.unwrap();
    found.extend(db.store.audit_shares().await.unwrap());
    found.extend(db.store.audit_blocks(|_| Priced::default()).await.unwrap());
    found.extend(db.store.audit_payouts().await.unwrap());
    found
}

/// Three miners over some hours, late verdicts, rejects; a block credited, one credited, reversed and credited again,
/// one open; a payout settled, one released, one on its way.
async fn history(db: &TestDb) {
    let epoch = lease(db, "one").await;
    let mut log =
        Log::new(&db.store, "h1", vec![line("A", "w"), line("B", "w"), line("B", "x\0y"), line("C", "w")]).await;
    log.window = std::time::Duration::from_secs(3600);
    let mut shares = Vec::new();
    for minute in 0..100 {
        for step in 0..3 {
            let share = log.share((minute + step) % 4, EPOCH + u32::try_from(minute).unwrap(), 10 + step as u64);
            shares.push(share);
            match share % 7 {
                0 | 1 => log.verdict(share, "verified"),
                3 if share % 3 == 0 => log.verdict(share, "rejected"),
                _ => {}
            }
        }
        log.reject(minute % 4, EPOCH, "stale job", 2);
        if minute % 9 == 0 {
            db.store.fold(log.step()).await.unwrap();
        }
        if minute % 40 == 35 {
            let (finder, found) = ((minute + 2) % 4, *shares.last().unwrap());
            let height = 1_000 + minute as u64;
            let step = log.candidate(&hash(height), finder, found, EPOCH + u32::try_from(minute).unwrap());
            db.store.fold(step).await.unwrap();
        }
    }
    let [first, second] = [1_035, 1_075].map(hash);
    let first = db.store.block_find(&first).await.unwrap().unwrap();
    let second = db.store.block_find(&second).await.unwrap().unwrap();

    let credits = weigh(db, epoch, &first).await;
    let credited = credit(&first.hash, &first, &credits, "pool_fee");
    db.store.block_credit(epoch, first.id, credited, at(EPOCH + 100)).await.unwrap();
    let credits = weigh(db, epoch, &second).await;
    let credited = credit(&second.hash, &second, &credits, "payable:B");
    let back = credited.postings().iter().map(|posting| (posting.account.clone(), -posting.amount));
    let undo = Entry::new(EntryKind::BlockReversed, credited.reference(), back).unwrap();
    db.store.block_credit(epoch, second.id, credited, at(EPOCH + 100)).await.unwrap();
    db.store.block_reverse(epoch, second.id, &second.hash, at(EPOCH + 101), move |_| undo).await.unwrap();
    let again = credit(&format!("{}:2", second.hash), &second, &credits, "payable:B");
    db.store.block_credit(epoch, second.id, again, at(EPOCH + 102)).await.unwrap();

    // What comes after the weights were stored changes nothing about them.
    log.verdict(shares[60], "voided");
    log.verdict(shares[61], "verified");
    log.verdict(shares[62], "rejected");
    let verified = shares.iter().copied().find(|share| share % 7 == 0 && *share > shares[80]).unwrap();
    log.verdict(verified, "voided");
    let found = log.share(0, EPOCH + 100, 5);
    db.store.fold(log.candidate(&hash(1_099), 0, found, EPOCH + 100)).await.unwrap();
    payouts(db, epoch).await;
}

async fn payouts(db: &TestDb, epoch: i64) {
    let store = &db.store;
    for n in 1..=3 {
        let intent = intent(&intent_id(n), vec![recipient("A", 900, 870), recipient("B", 600, 590)]);
        store.intent_reserve(epoch, intent.clone(), reserved(&intent), NOW).await.unwrap();
        if n == 1 {
            let sent = IntentChange {
                state: Some(IntentState::Confirmed),
                sent: Some((chain::TxId([0xef; 32]), Amount::from_atoms(35).unwrap(), later(5))),
                ..IntentChange::default()
            };
            store.intent_change(epoch, &intent.id, IntentState::Reserved, sent).await.unwrap();
            let close = settled(&intent, 35);
            store
                .intent_close(epoch, &intent.id, IntentState::Confirmed, IntentState::Settled, close, NOW)
                .await
                .unwrap();
        }
        if n == 2 {
            let back = released(&intent);
            store
                .intent_close(epoch, &intent.id, IntentState::Reserved, IntentState::Released, back, NOW)
                .await
                .unwrap();
        }
    }
}

/// Lets SQL do what the database refuses: this is about what happens when it happened all the same.
fn unguard(db: &TestDb) {
    let unguard = if db.is_postgres() {
        "ALTER TABLE entries DISABLE TRIGGER ALL; ALTER TABLE postings DISABLE TRIGGER ALL; \
         ALTER TABLE accounts DISABLE TRIGGER ALL; ALTER TABLE accounts DROP CONSTRAINT accounts_check; \
         ALTER TABLE intents DISABLE TRIGGER ALL; ALTER TABLE blocks DISABLE TRIGGER ALL;"
    } else {
        "DROP TRIGGER entries_no_update; DROP TRIGGER entries_no_delete; DROP TRIGGER postings_no_update; \
         DROP TRIGGER postings_no_delete;"
    };
    db.sql(unguard).unwrap();
}

/// Runs SQL without keys and checks.
fn damage(db: &TestDb, sql: &str) {
    let guards = if db.is_postgres() {
        "SET session_replication_role = replica;"
    } else {
        "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;"
    };
    db.sql(&format!("{guards} {sql}")).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[test]
fn an_empty_pool_has_no_differences() {
    for_each_database(async |db| assert_eq!(audit(db).await, []));
}

#[test]
fn a_clean_history_has_no_differences() {
    for_each_database(async |db| {
        history(db).await;
        assert_eq!(audit(db).await, []);
        let credited = "SELECT COUNT(*) AS n FROM blocks WHERE state = 'credited'";
        assert_eq!(db.number(credited), 2, "the history has something to check");
    });
}

#[test]
fn every_kind_of_damage_is_found() {
    for_each_database(async |db| {
        history(db).await;
        unguard(db);
        for (harm, heal, checks) in [BOOKS, SHARES, BLOCKS, PAYOUTS].into_iter().flatten() {
            damage(db, harm);
            let found = audit(db).await;
            for check in *checks {
                assert!(found.iter().any(|difference| difference.check == *check), "{harm}: {check} not in {found:#?}");
            }
            damage(db, heal);
            assert_eq!(audit(db).await, [], "{heal}");
        }
    });
}

#[test]
fn a_share_that_two_batches_hold_is_found() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "h1", vec![line("A", "w")]).await;
        log.share(0, EPOCH, 10);
        db.store.fold(log.step()).await.unwrap();
        log.share(0, EPOCH + 1, 10);
        let mut step = log.step();
        let row = step.batch.as_mut().unwrap();
        let mut batch = ShareBatch::decode(&row.body).unwrap();
        batch.shares[0].nonce = units::Nonce::new(1_000);
        (row.digest, row.body) = (batch.digest(), batch.encode());
        db.store.fold(step).await.unwrap();
        let found = audit(db).await;
        assert_eq!(found.iter().map(|difference| difference.check).collect::<Vec<_>>(), ["share is counted once"]);
        assert_eq!(found[0].subject, "h1 share 2");
    });
}

#[test]
fn a_difference_names_what_differs() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        let adjust = entry(EntryKind::Adjustment, "x", &[("adjustment", -5), ("payable:A", 5)]);
        db.store.entry_post(epoch, adjust, NOW).await.unwrap();
        damage(db, "UPDATE accounts SET balance = 6 WHERE key = 'payable:A'");
        let found = db.store.audit_entries().await.unwrap();
        let expected = |check, subject: &str, stored: &str, computed: &str| Difference {
            check,
            subject: subject.into(),
            stored: stored.into(),
            computed: computed.into(),
        };
        assert_eq!(
            found,
            [
                expected("balance is the sum of its postings", "payable:A", "6", "5"),
                expected("all balances sum to zero", "accounts", "1", "0"),
            ]
        );
    });
}

#[test]
fn batches_and_hosts_are_listed_in_order() {
    for_each_database(async |db| {
        history(db).await;
        let hosts = db.store.host_list().await.unwrap();
        assert_eq!(hosts.len(), 1);
        let (host, name, folded) = hosts[0].clone();
        assert_eq!((name.as_str(), folded), ("h1", db.store.host_folded(host).await.unwrap()));
        let all = db.store.batch_list(host, units::Seq::ZERO, 1_000).await.unwrap();
        assert!(all.len() > 10);
        assert!(all.is_sorted_by(|before, after| before.last_seq < after.first_seq));
        let rest = db.store.batch_list(host, all[3].first_seq, 2).await.unwrap();
        let ends = |batches: &[store::fold::BatchRow]| batches.iter().map(|row| row.last_seq).collect::<Vec<_>>();
        assert_eq!(ends(&rest), ends(&all[4..6]));
    });
}
