//! Bans of clients.
use store::bans::BanRow;
use units::Timestamp;

use crate::common::for_each_database;

fn ban(client: &str, begun: i64, until: i64, times: u32) -> BanRow {
    let (begun, until) = (Timestamp::from_ms(begun), Timestamp::from_ms(until));
    BanRow { client: client.to_owned(), reason: "bytes".to_owned(), begun, until, times }
}

#[test]
fn of_two_bans_of_a_client_the_one_that_ends_later_stays() {
    for_each_database(async |db| {
        let begin = Timestamp::from_ms(0);
        db.store.bans_put(&[ban("10.0.0.1", 1, 100, 1), ban("10.0.0.2", 1, 50, 1)], begin).await.unwrap();
        db.store.bans_put(&[ban("10.0.0.1", 2, 300, 2), ban("10.0.0.2", 2, 40, 1)], begin).await.unwrap();
        let expected = [ban("10.0.0.1", 2, 300, 2), ban("10.0.0.2", 1, 50, 1)];
        assert_eq!(db.store.bans_list(begin).await.unwrap(), expected);
        assert_eq!(db.store.bans_list(Timestamp::from_ms(51)).await.unwrap(), expected[..1]);
    });
}

#[test]
fn bans_that_ended_long_ago_are_forgotten_and_the_table_is_bounded() {
    for_each_database(async |db| {
        let begin = Timestamp::from_ms(100);
        let many: Vec<BanRow> =
            (0..8200).map(|n| ban(&format!("10.0.{}.{}", n / 250, n % 250), 1, 200 + n, 1)).collect();
        db.store.bans_put(&[ban("10.1.0.1", 1, 99, 1)], Timestamp::from_ms(0)).await.unwrap();
        db.store.bans_put(&many, begin).await.unwrap();
        assert_eq!(db.number("SELECT count(*) AS n FROM client_bans"), 8192);
        assert_eq!(db.number("SELECT min(ends_at) AS n FROM client_bans"), 208);
    });
}
