//! Payout windows against a naive sum over the raw shares.
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use units::Seq;

use crate::common::log::{EPOCH, Log, Raw, at, hash, line};
use crate::common::{TestDb, for_each_database, with_each_database};

/// What happens to a log, in order.
#[derive(Debug, Clone)]
enum Event {
    /// A share of a line, after so many minutes.
    Share { line: usize, minutes: u32, difficulty: u64 },
    /// A verdict on one of the shares so far.
    StoredVerdict { share: prop::sample::Index, verdict: &'static str },
    /// The fold gets this far.
    Step,
    /// A share of a line, and it solves a block.
    Block { line: usize },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let verdict = prop::sample::select(vec!["verified", "verified", "rejected", "voided"]);
    let event = prop_oneof![
        8 => (0..4usize, 0..3u32, 1..100u64).prop_map(|(line, minutes, difficulty)| Event::Share { line, minutes, difficulty }),
        3 => (any::<prop::sample::Index>(), verdict).prop_map(|(share, verdict)| Event::StoredVerdict { share, verdict }),
        2 => Just(Event::Step),
        1 => (0..4usize).prop_map(|line| Event::Block { line }),
    ];
    prop::collection::vec(event, 1..60)
}

/// Accepted, judged good and taken away, by address.
type Sums = BTreeMap<String, (u64, u64, u64)>;

/// The same window, share by share.
fn naive(log: &Log, verdicts: &BTreeMap<u64, &str>, first_minute: u32, end: u64) -> Sums {
    let mut sums = Sums::new();
    for Raw { seq, line, minute, difficulty } in &log.shares {
        if *minute < first_minute || *seq > end {
            continue;
        }
        let sum = sums.entry(log.lines[*line].address.clone()).or_default();
        sum.0 += difficulty;
        match verdicts.get(seq) {
            Some(&"verified") => sum.1 += difficulty,
            Some(_) => sum.2 += difficulty,
            None => {}
        }
    }
    sums
}

/// Plays the events and compares every block's window, as it is when all is folded.
async fn check(db: &TestDb, case: u64, events: &[Event]) -> Result<(), TestCaseError> {
    let miner = |name: &str, worker: &str| line(&format!("{name}-{case}"), worker);
    let lines = vec![miner("alice", "a"), miner("alice", "b"), miner("bob", ""), miner("carol", "")];
    let mut log = Log::new(&db.store, &format!("host-{case}"), lines).await;
    log.window = Duration::from_secs(10 * 60);
    let (mut minute, mut blocks, mut verdicts) = (EPOCH, Vec::new(), BTreeMap::new());
    for event in events {
        match event {
            Event::Share { line, minutes, difficulty } => {
                minute += minutes;
                log.share(*line, minute, *difficulty);
            }
            Event::StoredVerdict { share, verdict } if !log.shares.is_empty() => {
                let share = share.get(&log.shares).seq;
                log.verdict(share, verdict);
                let said = verdicts.entry(share).or_insert(*verdict);
                if *verdict == "voided" {
                    *said = verdict;
                }
            }
            Event::StoredVerdict { .. } => {}
            Event::Step => db.store.fold(log.step()).await.unwrap(),
            Event::Block { line } => {
                let hash = hash(case * 1_000 + blocks.len() as u64);
                let share = log.share(*line, minute, 50);
                let step = log.candidate(&hash, *line, share, minute);
                blocks.push((hash, minute, step.to.0));
                db.store.fold(step).await.unwrap();
            }
        }
    }
    let last = log.step();
    let folded = last.to;
    db.store.fold(last).await.unwrap();
    for (hash, minute, end) in blocks {
        let block = db.store.block_find(&hash).await.unwrap().unwrap();
        let (works, seen) = db.store.block_window_work(block.id).await.unwrap();
        prop_assert_eq!(seen, vec![(log.host, folded)]);
        let got: BTreeMap<_, _> =
            works.into_iter().map(|work| (work.address, (work.verified.get(), work.provisional.get()))).collect();
        let first_minute = at(minute).minus(log.window).minute().0;
        let expected = naive(&log, &verdicts, first_minute, end).into_iter();
        let expected = expected.map(|(address, (work, good, bad))| (address, (good, work - good - bad))).collect();
        prop_assert_eq!(got, expected);
    }
    Ok(())
}

#[test]
fn a_window_is_the_sum_of_its_shares() {
    with_each_database(|db, rt| {
        let mut runner =
            TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) });
        let case = std::cell::Cell::new(0);
        runner
            .run(&events(), |events| {
                case.set(case.get() + 1);
                rt.block_on(check(db, case.get(), &events))
            })
            .unwrap();
    });
}

#[test]
fn a_window_holds_the_finding_share_and_nothing_after_it() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("bob", "b")]).await;
        let share = log.share(0, EPOCH, 10);
        db.store.fold(log.candidate(&hash(1), 0, share, EPOCH)).await.unwrap();
        log.share(0, EPOCH, 1_000);
        log.share(1, EPOCH, 1_000);
        db.store.fold(log.step()).await.unwrap();
        let block = db.store.block_find(&hash(1)).await.unwrap().unwrap();
        let (works, seen) = db.store.block_window_work(block.id).await.unwrap();
        assert_eq!(seen, [(log.host, Seq(4))]);
        let works: Vec<_> = works.iter().map(|work| (work.address.as_str(), work.provisional.get())).collect();
        assert_eq!(works, [("alice", 10)]);
    });
}

#[test]
fn a_minute_that_the_start_cuts_counts_whole() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        log.window = Duration::from_secs(20 * 60);
        log.share(0, EPOCH - 21, 1);
        log.share(0, EPOCH - 20, 10);
        log.share(0, EPOCH - 1, 100);
        let share = log.share(0, EPOCH, 1_000);
        db.store.fold(log.candidate(&hash(1), 0, share, EPOCH)).await.unwrap();
        let block = db.store.block_find(&hash(1)).await.unwrap().unwrap();
        let (works, _) = db.store.block_window_work(block.id).await.unwrap();
        assert_eq!(works[0].provisional.get(), 1_110);
    });
}

#[test]
fn verdicts_that_no_share_explains_are_damage() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        let share = log.share(0, EPOCH, 10);
        log.verdict(share, "verified");
        db.store.fold(log.candidate(&hash(1), 0, share, EPOCH)).await.unwrap();
        let block = db.store.block_find(&hash(1)).await.unwrap().unwrap();
        db.sql("UPDATE verdicts SET difficulty = 11").unwrap();
        let outcome = db.store.block_window_work(block.id).await;
        assert!(matches!(outcome, Err(store::StoreError::Damaged { .. })), "{outcome:?}");
    });
}
