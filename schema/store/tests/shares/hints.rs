use store::hints::HintRow;
use units::{Difficulty, Timestamp};

use crate::common::for_each_database;

fn hint(worker: &str, difficulty: u64, at: i64) -> HintRow {
    HintRow {
        address: "W1".to_owned(),
        worker: worker.to_owned(),
        origin: [7; 16],
        difficulty: Difficulty::new(difficulty).unwrap(),
        measured_at: Timestamp::from_ms(at),
    }
}

const ALL: Timestamp = Timestamp::from_ms(0);

#[test]
fn the_newest_hint_of_a_worker_stays() {
    for_each_database(async |db| {
        let store = &db.store;
        store.hints_put(&[]).await.unwrap();
        store.hints_put(&[hint("a", 100, 10), hint("b", 1, 20), hint("a", 90, 9)]).await.unwrap();
        assert_eq!(store.hints_since(ALL, 10).await.unwrap(), [hint("b", 1, 20), hint("a", 100, 10)]);
        let moved = HintRow { origin: [8; 16], ..hint("a", 300_000, 30) };
        store.hints_put(&[moved.clone(), hint("b", 5, 19)]).await.unwrap();
        assert_eq!(store.hints_since(ALL, 10).await.unwrap(), [moved.clone(), hint("b", 1, 20)]);
        let newest = store.hints_since(Timestamp::from_ms(21), 10).await.unwrap();
        assert_eq!(newest, std::slice::from_ref(&moved));
        assert_eq!(store.hints_since(ALL, 1).await.unwrap(), [moved]);
    });
}

#[test]
fn old_hints_go_and_the_newest_are_kept_to_a_bound() {
    for_each_database(async |db| {
        let store = &db.store;
        let all: Vec<HintRow> = (1..=10).map(|n| hint(&format!("w{n}"), 60, n)).collect();
        store.hints_put(&all).await.unwrap();
        assert_eq!(store.hints_prune(Timestamp::from_ms(3), 100).await.unwrap(), 2);
        assert_eq!(store.hints_prune(Timestamp::from_ms(3), 5).await.unwrap(), 3);
        let left: Vec<i64> =
            store.hints_since(ALL, 100).await.unwrap().iter().map(|hint| hint.measured_at.ms()).collect();
        assert_eq!(left, [10, 9, 8, 7, 6]);
        assert_eq!(store.hints_prune(Timestamp::from_ms(3), 5).await.unwrap(), 0);
    });
}

#[test]
fn a_name_that_postgres_cannot_store_does_not_keep_others_out() {
    for_each_database(async |db| {
        db.store.hints_put(&[hint("nul\0", 1, 1), hint("é \"'\\", 2, 2)]).await.unwrap();
        let workers = |rows: Vec<HintRow>| rows.into_iter().map(|row| row.worker).collect::<Vec<_>>();
        assert_eq!(workers(db.store.hints_since(ALL, 9).await.unwrap()), ["é \"'\\", "nul\u{fffd}"]);
    });
}
