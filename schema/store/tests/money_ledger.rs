//! Entries, balances, leases.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use accounting::{Account, AccountKind, Entry, EntryKind};
use std::time::Duration;

use common::for_each_database;
use common::money::{HOUR, NOW, atoms, entry, lease};
use store::StoreError;
use store::ledger::{Balance, MONEY_LEASE};

fn credit(reference: &str) -> Entry {
    entry(
        EntryKind::BlockCredited,
        reference,
        &[("chain_rewards", -1000), ("payable:A", 700), ("payable:B", 250), ("pool_fee", 50)],
    )
}

#[test]
fn an_entry_moves_balances_once() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        assert!(db.store.entry_post(epoch, credit("aa"), NOW).await.unwrap());
        assert!(!db.store.entry_post(epoch, credit("aa"), NOW).await.unwrap());
        assert!(db.store.entry_post(epoch, credit("bb"), NOW).await.unwrap());

        let of_a = Balance { payable: atoms(1400), ..Balance::default() };
        assert_eq!(db.store.balance_of("A").await.unwrap(), of_a);
        assert_eq!(db.store.balance_of("nobody").await.unwrap(), Balance::default());
        assert_eq!(db.store.account_balance("chain_rewards").await.unwrap(), -2000);
        assert_eq!(db.store.account_balance("orphan_loss").await.unwrap(), 0);
        let totals = db.store.account_totals().await.unwrap();
        let expected = [(AccountKind::ChainRewards, -2000), (AccountKind::Payable, 1900), (AccountKind::PoolFee, 100)];
        assert_eq!(totals, expected.into());
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM accounts a JOIN miners m ON m.id = a.miner_id AND a.key = 'payable:' || m.address"), 2);
    });
}

#[test]
fn another_entry_under_a_known_reference_is_a_conflict() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        db.store.entry_post(epoch, credit("aa"), NOW).await.unwrap();
        let other = entry(EntryKind::BlockCredited, "aa", &[("chain_rewards", -1000), ("payable:A", 1000)]);
        let refused = db.store.entry_post(epoch, other, NOW).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Conflict { what } if what == "entry block_credited aa"), "{refused}");
        // Another kind under the same reference is another event.
        let reversal = entry(
            EntryKind::BlockReversed,
            "aa",
            &[("chain_rewards", 1000), ("payable:A", -700), ("orphan_loss", -300)],
        );
        assert!(db.store.entry_post(epoch, reversal, NOW).await.unwrap());
        assert_eq!(db.store.account_balance("payable:A").await.unwrap(), 0);
        assert_eq!(db.store.account_balance("orphan_loss").await.unwrap(), -300);
    });
}

#[test]
fn what_is_owed_never_becomes_negative() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        db.store.entry_post(epoch, credit("aa"), NOW).await.unwrap();
        for (reference, from) in [("r1", "payable:A"), ("r2", "inflight:A"), ("r3", "pool_fee"), ("r4", "paid_out:C")] {
            let grab = entry(EntryKind::Adjustment, reference, &[(from, -701), ("adjustment", 701)]);
            let refused = db.store.entry_post(epoch, grab, NOW).await.unwrap_err();
            assert!(matches!(refused, StoreError::Conflict { .. }), "{from}: {refused}");
        }
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM entries"), 1);
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM postings"), 4);
        assert_eq!(db.store.account_balance("payable:A").await.unwrap(), 700);
    });
}

#[test]
fn an_entry_of_thousands_is_posted_whole() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        let mut postings: Vec<_> = (1..=5_000).map(|n| (Account::payable(&format!("address-{n}")), n)).collect();
        postings.push((Account::ChainRewards, -12_502_500));
        let big = Entry::new(EntryKind::BlockCredited, "big", postings).unwrap();
        assert!(db.store.entry_post(epoch, big.clone(), NOW).await.unwrap());
        assert!(!db.store.entry_post(epoch, big, NOW).await.unwrap());
        assert_eq!(db.store.account_balance("payable:address-4321").await.unwrap(), 4321);
        assert_eq!(db.number("SELECT CAST(SUM(balance) AS BIGINT) AS n FROM accounts"), 0);
    });
}

#[test]
fn a_lease_has_one_holder_until_it_expires() {
    for_each_database(async |db| {
        let store = &db.store;
        let first = lease(db, "one").await;
        assert_eq!(lease(db, "one").await, first, "renewing keeps the epoch");
        assert_eq!(store.lease_take(MONEY_LEASE, "two", HOUR).await.unwrap(), None);
        // Another lease is another matter.
        assert!(store.lease_take("sweep", "two", HOUR).await.unwrap().is_some());

        db.sql("UPDATE leases SET expires_at = 1 WHERE name = 'money'").unwrap();
        let second = lease(db, "two").await;
        assert!(second > first);
        assert_eq!(store.lease_take(MONEY_LEASE, "one", HOUR).await.unwrap(), None);
    });
}

#[test]
fn a_lease_expires_by_the_clock_of_the_database() {
    for_each_database(async |db| {
        lease(db, "one").await;
        let now =
            if db.is_postgres() { "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)" } else { "unixepoch() * 1000" };
        let left_ms = db.number(&format!("SELECT expires_at - {now} AS n FROM leases"));
        assert!((3_590_000..3_602_000).contains(&left_ms), "{left_ms}");
        // A lease without length is over at once.
        db.store.lease_take(MONEY_LEASE, "one", Duration::ZERO).await.unwrap().unwrap();
        assert!(db.store.lease_take(MONEY_LEASE, "two", HOUR).await.unwrap().is_some());
    });
}

#[test]
fn a_released_lease_is_free_and_its_epoch_is_old() {
    for_each_database(async |db| {
        let store = &db.store;
        let first = lease(db, "one").await;
        store.lease_release(MONEY_LEASE, "two", first).await.unwrap();
        store.lease_release(MONEY_LEASE, "one", first + 1).await.unwrap();
        assert!(store.entry_post(first, credit("aa"), NOW).await.unwrap(), "only the holder releases");

        store.lease_release(MONEY_LEASE, "one", first).await.unwrap();
        assert!(matches!(store.entry_post(first, credit("bb"), NOW).await, Err(StoreError::Fenced { .. })));
        assert!(lease(db, "one").await > first);
    });
}

#[test]
fn a_writer_with_an_old_epoch_is_fenced() {
    for_each_database(async |db| {
        let store = &db.store;
        let unknown = store.entry_post(1, credit("aa"), NOW).await.unwrap_err();
        assert!(matches!(unknown, StoreError::Fenced { name: "money", ours: 1 }), "{unknown}");

        let old = lease(db, "one").await;
        db.sql("UPDATE leases SET expires_at = 1").unwrap();
        // An epoch that nobody has replaced still writes: nobody else does.
        assert!(store.entry_post(old, credit("aa"), NOW).await.unwrap());
        let new = lease(db, "two").await;
        let (late, fresh) =
            tokio::join!(store.entry_post(old, credit("late"), NOW), store.entry_post(new, credit("fresh"), NOW));
        assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
        assert!(fresh.unwrap());
        // Not even a repeated entry of its own says yes to a writer that must stop.
        assert!(matches!(store.entry_post(old, credit("aa"), NOW).await, Err(StoreError::Fenced { .. })));
    });
}

#[test]
fn the_same_entry_posted_at_once_by_many_counts_once() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        let posts = (0..12).map(|_| db.store.entry_post(epoch, credit("aa"), NOW));
        let outcomes = futures_util::future::join_all(posts).await;
        assert_eq!(outcomes.into_iter().filter(|outcome| *outcome.as_ref().unwrap()).count(), 1);
        assert_eq!(db.store.account_balance("payable:A").await.unwrap(), 700);
    });
}

#[test]
fn concurrent_withdrawals_never_take_more_than_there_is() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        db.store.entry_post(epoch, credit("aa"), NOW).await.unwrap();
        let takes = (0..10).map(|n| {
            let take = entry(EntryKind::Adjustment, &format!("take-{n}"), &[("payable:A", -200), ("adjustment", 200)]);
            db.store.entry_post(epoch, take, NOW)
        });
        let outcomes = futures_util::future::join_all(takes).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
        assert_eq!(db.store.account_balance("payable:A").await.unwrap(), 100);
    });
}
