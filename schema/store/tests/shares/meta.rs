use units::Timestamp;

use crate::common::for_each_database;

#[test]
fn a_value_is_stored_replaced_and_kept() {
    for_each_database(async |db| {
        let store = &db.store;
        assert_eq!(store.meta_get("salt").await.unwrap(), None);
        assert_eq!(store.meta_get_or_insert("salt", "one").await.unwrap(), "one");
        assert_eq!(store.meta_get_or_insert("salt", "two").await.unwrap(), "one");
        store.meta_set("salt", "three").await.unwrap();
        store.meta_set("other", "x").await.unwrap();
        assert_eq!(store.meta_get("salt").await.unwrap().as_deref(), Some("three"));
    });
}

#[test]
fn a_value_that_many_insert_at_once_is_the_same_for_all() {
    for_each_database(async |db| {
        let tasks = (0..8).map(|n| {
            let store = db.store.clone();
            async move { store.meta_get_or_insert("salt", &n.to_string()).await.unwrap() }
        });
        let seen = futures_util::future::join_all(tasks).await;
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    });
}

#[test]
fn a_number_is_given_once() {
    for_each_database(async |db| {
        assert_eq!(db.store.meta_count("era").await.unwrap(), 1);
        let tasks = (0..20).map(|_| {
            let store = db.store.clone();
            async move { store.meta_count("era").await.unwrap() }
        });
        let mut numbers = futures_util::future::join_all(tasks).await;
        numbers.sort_unstable();
        assert_eq!(numbers, (2..22).collect::<Vec<_>>());
    });
}

#[test]
fn a_host_has_one_snapshot_the_newest() {
    for_each_database(async |db| {
        let store = &db.store;
        store.snapshot_put("b", "{\"n\":1}", Timestamp::from_ms(1)).await.unwrap();
        store.snapshot_put("a", "{}", Timestamp::from_ms(2)).await.unwrap();
        store.snapshot_put("b", "{\"n\":2}", Timestamp::from_ms(3)).await.unwrap();
        let all = store.snapshot_list().await.unwrap();
        let b = ("b".to_owned(), "{\"n\":2}".to_owned(), Timestamp::from_ms(3));
        assert_eq!(all, [("a".to_owned(), "{}".to_owned(), Timestamp::from_ms(2)), b]);
    });
}
