//! Clean-ups of random histories: no window, no total and no audit sees them.
use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use store::fold::IdentityKey;

use super::*;
use crate::common::with_each_database;

/// Everything that is shown and must not change, as text.
async fn shown(db: &TestDb, lines: &[IdentityKey]) -> String {
    let mut miners = BTreeMap::new();
    for line in lines {
        let known = db.store.miner_summary(&line.address, Minute(0)).await.unwrap();
        let totals = known.map(|known| {
            let shares: u64 = known.workers.iter().map(|worker| worker.shares).sum();
            let rejects: u64 = known.workers.iter().map(|worker| worker.rejects).sum();
            (known.first_share_at, shares + known.gone_shares, rejects + known.gone_rejects)
        });
        miners.insert(line.address.clone(), totals);
    }
    format!("{:?} {:?} {miners:?}", db.store.pool_totals().await.unwrap(), db.store.round().await.unwrap())
}

type Works = Vec<(String, u64, u64)>;

async fn windows(db: &TestDb, blocks: &[(String, u32)], since: u32) -> BTreeMap<String, Works> {
    let mut all = BTreeMap::new();
    for (hash, _) in blocks.iter().filter(|(_, first)| *first >= since) {
        let block = db.store.block_find(hash).await.unwrap().unwrap();
        let (works, _) = db.store.block_window_work(block.id).await.unwrap();
        let works = works.into_iter().map(|work| (work.address, work.verified.get(), work.provisional.get()));
        all.insert(hash.clone(), works.collect());
    }
    all
}

#[derive(Debug, Clone)]
enum Event {
    Share {
        line: usize,
        minutes: u32,
        difficulty: u64,
    },
    StoredVerdict {
        share: prop::sample::Index,
        verdict: &'static str,
    },
    Reject {
        line: usize,
    },
    Step,
    Block {
        line: usize,
    },
    /// Up to so much of the time since the last cut.
    Clean {
        part: u32,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let verdict = prop::sample::select(vec!["verified", "verified", "rejected", "voided"]);
    let minutes = prop_oneof![6 => 0..4u32, 2 => 0..30u32, 1 => 0..900u32];
    let event = prop_oneof![
        10 => (0..5usize, minutes, 1..100u64)
            .prop_map(|(line, minutes, difficulty)| Event::Share { line, minutes, difficulty }),
        3 => (any::<prop::sample::Index>(), verdict).prop_map(|(share, verdict)| Event::StoredVerdict { share, verdict }),
        1 => (0..6usize).prop_map(|line| Event::Reject { line }),
        3 => Just(Event::Step),
        2 => (0..5usize).prop_map(|line| Event::Block { line }),
        1 => (0..=100u32).prop_map(|part| Event::Clean { part }),
    ];
    prop::collection::vec(event, 30..120)
}

/// One history; compares everything around each clean-up.
async fn check(db: &TestDb, epoch: i64, case: u64, events: &[Event]) -> Result<(), TestCaseError> {
    let miner = |name: &str, worker: &str| line(&format!("{name}-{case}"), worker);
    let names = [("alice", "a"), ("alice", "b"), ("bob", ""), ("carol", ""), ("dan", ""), ("mallory", "")];
    let lines: Vec<_> = names.iter().map(|(name, worker)| miner(name, worker)).collect();
    let mut log = Log::new(&db.store, &format!("host-{case}"), lines.clone()).await;
    log.window = Duration::from_secs(20 * 60);
    let window = 20;
    for (place, line) in lines.iter().enumerate() {
        // Who never earned anything is forgotten altogether.
        fund(db, epoch, &format!("{case}-{place}"), &line.address, 1, at(EPOCH)).await;
    }
    let start = EPOCH + u32::try_from(case).unwrap() * 40 * DAY;
    let (mut minute, mut cut, mut blocks): (u32, u32, Vec<(String, u32)>) = (start, start, Vec::new());
    for event in events {
        match event {
            Event::Share { line, minutes, difficulty } => {
                minute += minutes;
                log.share(*line, minute, *difficulty);
            }
            Event::StoredVerdict { share, verdict } if !log.shares.is_empty() => {
                let share = share.get(&log.shares).clone();
                // What is cleaned up is never judged: no block needs it.
                if share.minute >= cut {
                    log.verdict(share.seq, verdict);
                }
            }
            Event::StoredVerdict { .. } => {}
            Event::Reject { line } => log.reject(*line, minute, "stale job", 2),
            Event::Step => db.store.fold(log.step()).await.unwrap(),
            Event::Block { line } => {
                let hash = hash(case * 1_000 + blocks.len() as u64);
                let share = log.share(*line, minute, 50);
                db.store.fold(log.candidate(&hash, *line, share, minute)).await.unwrap();
                blocks.push((hash, at(minute).minus(log.window).minute().0));
            }
            Event::Clean { part } => {
                db.store.fold(log.step()).await.unwrap();
                // Windows may begin this late; the earliest of those that are kept does begin there.
                let latest = minute.saturating_sub(window).max(cut);
                cut += (latest - cut) * part / 100;
                let (before, shown_before) = (windows(db, &blocks, cut).await, shown(db, &lines).await);
                clean(db, epoch, Minute(cut)).await;
                let day = cut / DAY * DAY;
                prop_assert_eq!(windows(db, &blocks, cut).await, before);
                prop_assert_eq!(shown(db, &lines).await, shown_before);
                prop_assert_eq!(audit(db).await, vec![]);
                let since = format!("minute >= {day}");
                let days = db.store.share_days(None).await.unwrap();
                let live = db
                    .number(&format!("SELECT CAST(COALESCE(SUM(work), 0) AS BIGINT) AS n FROM segments WHERE {since}"));
                let all = db.number("SELECT CAST(COALESCE(SUM(work), 0) AS BIGINT) AS n FROM hosts");
                prop_assert_eq!(days.iter().map(|day| day.work.to_i64()).sum::<i64>() + live, all);
            }
        }
    }
    db.store.fold(log.step()).await.unwrap();
    // Ten minutes are merged around all windows, whatever becomes of their blocks.
    let day = cut / DAY * DAY;
    let before = windows(db, &blocks, day).await;
    merge(db, epoch, Span::TenMinutes, Minute(minute / 10 * 10)).await;
    prop_assert_eq!(windows(db, &blocks, day).await, before);
    prop_assert_eq!(audit(db).await, vec![]);
    Ok(())
}

#[test]
fn no_window_and_no_total_sees_a_clean_up() {
    with_each_database(|db, rt| {
        let cases = if db.is_postgres() { 5 } else { 16 };
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
        let epoch = rt.block_on(lease(db, "treasury"));
        let case = Cell::new(0);
        TestRunner::new(config)
            .run(&events(), |events| {
                case.set(case.get() + 1);
                rt.block_on(check(db, epoch, case.get(), &events))
            })
            .unwrap();
    });
}
