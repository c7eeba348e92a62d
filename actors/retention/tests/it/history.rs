//! A hundred days with the default retention of shares.
use store::retention::{DAY, Mark};

use crate::common::for_each_database;
use crate::common::log::{at, hash};
use crate::harness::{Pool, START, kept, midnight};

const DAYS: u32 = 100;
/// This block is not credited before the last day.
const HELD: u32 = 4;

#[test]
fn a_hundred_days_leave_ninety_and_lose_nothing() {
    for_each_database(async |db| {
        let mut pool = Pool::new(db).await;
        let mut paid = 0;
        while pool.day < DAYS {
            pool.day(Some(HELD)).await;
            if !pool.day.is_multiple_of(4) {
                continue;
            }
            // A new process each time, which begins at once.
            pool.cleaner(kept(90, 30)).run().await;
            assert_eq!(pool.totals().await, pool.sums, "after day {}", pool.day);
            if pool.day.is_multiple_of(20) {
                assert_eq!(pool.audit().await, [], "after day {}", pool.day);
            }
            let totals = db.store.pool_totals().await.unwrap();
            paid = 870 * u64::from(pool.day);
            assert_eq!(totals.paid.atoms(), paid);
        }
        // The open block holds its window: of the days before it nothing is left but the summaries.
        let kept_from = midnight(HELD);
        assert_eq!(db.store.retention_marked(Mark::Details).await.unwrap(), kept_from);
        let oldest = db.number("SELECT MIN(last_minute) AS n FROM share_batches");
        assert!(oldest >= i64::from(kept_from.0), "{oldest}");
        check_days(&pool, HELD).await;

        // Its weights are those of its shares, three months later.
        let block = db.store.block_find(&hash(HELD.into())).await.unwrap().unwrap();
        let (works, _) = db.store.block_window_work(block.id).await.unwrap();
        let refuted = db.number(&format!(
            "SELECT CAST(COALESCE(SUM(difficulty), 0) AS BIGINT) AS n FROM verdicts WHERE verdict <> 'verified' \
             AND minute >= {} AND minute < {}",
            at(START + HELD * DAY + DAY - 1).minus(crate::common::log::WINDOW).minute().0,
            midnight(HELD + 1).0
        ));
        let sum: u64 = works.iter().map(|work| work.verified.get() + work.provisional.get()).sum();
        let expected: u64 = pool.naive(HELD).values().sum();
        assert_eq!(sum, expected - u64::try_from(refuted).unwrap());
        pool.credit(HELD).await;
        pool.cleaner(kept(90, 30)).run().await;
        assert_eq!(db.store.retention_marked(Mark::Details).await.unwrap(), midnight(DAYS - 91));
        check_days(&pool, DAYS - 91).await;
        assert_eq!(pool.totals().await, pool.sums);
        assert_eq!(pool.audit().await, []);

        // Names: those that were invented are gone but for the last, carol is there for what she earned.
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM miners WHERE address LIKE 'invented%'"), 1);
        let carol = db.store.miner_summary("carol", midnight(0)).await.unwrap().unwrap();
        let shares: u64 = carol.workers.iter().map(|worker| worker.shares).sum();
        let logged = pool.log.shares.iter().filter(|share| pool.log.lines[share.line].address == "carol").count();
        assert_eq!(shares + carol.gone_shares, logged as u64);
        // Segments: minutes of two days, a day for each line, ten minutes between.
        let spans = |span: i64| db.number(&format!("SELECT COUNT(*) AS n FROM segments WHERE span = {span}"));
        assert!(
            spans(1) < 3 * 16 * 4 && spans(10) > 80 * 16 && spans(1440) <= 4 * 10,
            "{} {} {}",
            spans(1),
            spans(10),
            spans(1440)
        );
        // Payouts.
        let days = db.store.payout_days().await.unwrap();
        assert_eq!(days.iter().map(|day| day.net.atoms()).sum::<u64>() + 870 * 31, paid);
        assert_eq!(pool.count("intents WHERE state = 'settled'"), 31);
    });
}

/// The summaries are those of the first `days` days, and what is left is of the days after them.
async fn check_days(pool: &Pool<'_>, days: u32) {
    let summed = pool.db.store.share_days(None).await.unwrap();
    assert_eq!(summed.len(), days as usize);
    for day in summed {
        let minutes = (day.day * DAY)..((day.day + 1) * DAY);
        let shares = pool.log.shares.iter().filter(|share| minutes.contains(&share.minute));
        let (count, work) = shares.fold((0, 0), |(count, work), share| (count + 1, work + share.difficulty));
        assert_eq!((day.shares, day.work.get()), (count, work));
    }
    let alice = pool.db.store.share_days(Some("alice")).await.unwrap();
    let of_alice = |line: usize| pool.log.lines[line].address == "alice";
    let until = midnight(days).0;
    let shares = pool.log.shares.iter().filter(|share| share.minute < until && of_alice(share.line)).count();
    assert_eq!(alice.iter().map(|day| day.shares).sum::<u64>(), shares as u64);
}
