use store::StoreError;
use store::best_chain::BestChain;
use units::{Height, Timestamp};

use crate::common::for_each_database;

fn chain(height: u64, work: u64) -> BestChain {
    BestChain { height: Height::new(height), work, seen_at: Timestamp::from_ms(1_800_000_000_123) }
}

#[test]
fn the_chain_with_the_most_work_stays() {
    for_each_database(async |db| {
        let store = &db.store;
        assert_eq!(store.best_chain_get().await.unwrap(), None);
        store.best_chain_raise(chain(9, 600)).await.unwrap();
        for lower in [chain(10, 599), chain(11, 600)] {
            store.best_chain_raise(lower).await.unwrap();
            assert_eq!(store.best_chain_get().await.unwrap(), Some(chain(9, 600)));
        }
        // A reorganisation can lead to a lower height, and the sum of all work is beyond what a signed number holds.
        store.best_chain_raise(chain(8, u64::MAX)).await.unwrap();
        assert_eq!(store.best_chain_get().await.unwrap(), Some(chain(8, u64::MAX)));
    });
}

#[test]
fn of_many_hosts_at_once_the_best_wins() {
    for_each_database(async |db| {
        db.store.best_chain_raise(chain(1, 1)).await.unwrap();
        let raise = |n: u64| {
            let store = db.store.clone();
            async move { store.best_chain_raise(chain(n, n)).await.unwrap() }
        };
        futures_util::future::join_all((1..=20).rev().map(raise)).await;
        assert_eq!(db.store.best_chain_get().await.unwrap(), Some(chain(20, 20)));
    });
}

#[test]
fn a_chain_that_was_given_up_is_followed_by_any_other() {
    for_each_database(async |db| {
        let (store, at) = (&db.store, Timestamp::from_ms(5));
        store.best_chain_raise(chain(9, 600)).await.unwrap();
        store.best_chain_give_up(at).await.unwrap();
        let nothing = BestChain { height: Height::new(0), work: 0, seen_at: at };
        assert_eq!(store.best_chain_get().await.unwrap(), Some(nothing));
        store.best_chain_raise(chain(3, 12)).await.unwrap();
        assert_eq!(store.best_chain_get().await.unwrap(), Some(chain(3, 12)));
    });
}

#[test]
fn a_damaged_row_is_named() {
    for_each_database(async |db| {
        for text in ["", "9 600", "9 x 5", "nine 600 5"] {
            db.store.meta_set("best_chain", text).await.unwrap();
            let error = db.store.best_chain_get().await.unwrap_err();
            assert!(matches!(&error, StoreError::Damaged { what, .. } if what == "best_chain"), "{text}: {error}");
        }
    });
}
