//! Who sent false shares, and who sent true ones.
use store::penalties::PenaltyRow;
use units::{Minute, Timestamp};

use crate::common::for_each_database;
use crate::common::log::{EPOCH, Log, line};

fn penalty(address: &str, strikes: u32, struck_at: i64, ends_at: i64) -> PenaltyRow {
    PenaltyRow {
        address: address.to_owned(),
        origin: [3; 16],
        reason: "invalid share proof".to_owned(),
        strikes,
        struck_at: Timestamp::from_ms(struck_at),
        forced_until: Timestamp::from_ms(ends_at),
        quarantined_until: (strikes > 2).then(|| Timestamp::from_ms(ends_at - 1)),
        void_before: (strikes > 1).then(|| Timestamp::from_ms(struck_at)),
        ends_at: Timestamp::from_ms(ends_at),
    }
}

#[test]
fn of_two_rows_of_a_pair_the_later_strike_counts() {
    for_each_database(async |db| {
        let begin = Timestamp::from_ms(0);
        let first = [penalty("a", 1, 10, 100), penalty("b", 3, 10, 90)];
        db.store.penalties_put(&first, begin).await.unwrap();
        assert_eq!(db.store.penalties_list(begin).await.unwrap(), first);
        db.store.penalties_put(&[penalty("a", 2, 20, 110), penalty("b", 1, 5, 200)], begin).await.unwrap();
        let expected = [penalty("a", 2, 20, 110), penalty("b", 3, 10, 90)];
        assert_eq!(db.store.penalties_list(begin).await.unwrap(), expected);
        assert_eq!(db.store.penalties_list(Timestamp::from_ms(90)).await.unwrap(), expected[..1]);
    });
}

#[test]
fn who_is_forgiven_is_forgotten_and_the_table_is_bounded() {
    for_each_database(async |db| {
        let now = Timestamp::from_ms(100);
        db.store.penalties_put(&[penalty("old", 1, 1, 100)], Timestamp::from_ms(0)).await.unwrap();
        let many: Vec<PenaltyRow> = (0..16_390).map(|n| penalty(&n.to_string(), 1, 1, 200 + n)).collect();
        db.store.penalties_put(&many, now).await.unwrap();
        assert_eq!(db.number("SELECT count(*) AS n FROM penalties"), 16_384);
        assert_eq!(db.number("SELECT min(ends_at) AS n FROM penalties"), 206);
    });
}

#[test]
fn proven_pairs_are_those_with_true_shares_and_no_false_one() {
    for_each_database(async |db| {
        let lines = vec![line("true", "1"), line("true", "2"), line("false", "1"), line("unjudged", "1")];
        let mut log = Log::new(&db.store, "h1", lines).await;
        for (line, verdicts) in
            [&["verified", "verified"][..], &["verified"], &["verified", "rejected"], &[]].into_iter().enumerate()
        {
            log.share(line, EPOCH, 5);
            for verdict in verdicts {
                let share = log.share(line, EPOCH + 1, 5);
                log.verdict(share, verdict);
            }
        }
        db.store.fold(log.step()).await.unwrap();
        let proven = db.store.proven_pairs(Minute(EPOCH), 10).await.unwrap();
        let found: Vec<_> = proven.iter().map(|pair| (pair.address.as_str(), pair.verified, pair.last.0)).collect();
        assert_eq!(found, [("true", 3, EPOCH + 1)]);
        assert!(db.store.proven_pairs(Minute(EPOCH + 2), 10).await.unwrap().is_empty());
        assert!(db.store.proven_pairs(Minute(EPOCH), 0).await.unwrap().is_empty());
    });
}
