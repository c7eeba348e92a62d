//! The database's part of a share: a fold step, its encoding, and the window of a block.
//!
//! On SQLite in a temporary directory, and on PostgreSQL where `MESHPOOL_TEST_POSTGRES` names a cluster.
//! The budget of a step of 50,000 shares of 200 lines is 50 ms on SQLite.
#![expect(clippy::unwrap_used, reason = "a benchmark that lacks something has nothing to say")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use common::log::{EPOCH, Log, at, hash, line};
use common::{Scratch, sql};
use divan::Bencher;
use store::Store;
use store::batch::{ShareBatch, StoredShare};
use store::fold::{BatchRow, FoldStep, SegmentDelta};
use tokio::runtime::Runtime;
use units::{Difficulty, Minute, Nonce, Seq, Work};

const SHARES: u64 = 50_000;

fn main() {
    divan::main();
}

struct Bench {
    store: Store,
    rt: Runtime,
    log: Log,
    seq: u64,
    minute: u32,
    url: String,
    _scratch: Scratch,
}

impl Bench {
    fn new(scratch: Scratch, lines: usize) -> Bench {
        let url = scratch.url();
        Store::migrate(&url).unwrap();
        let store = Store::open(&url, 4).unwrap();
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // As long as real names are.
        let lines = (0..lines).map(|n| line(&format!("{n:0>92}"), &format!("rig-{n}"))).collect();
        let log = rt.block_on(Log::new(&store, "host", lines));
        Bench { store, rt, log, seq: 0, minute: EPOCH, url, _scratch: scratch }
    }

    fn fold(&self, step: FoldStep) {
        self.rt.block_on(self.store.fold(step)).unwrap();
    }

    fn batch(&self, shares: u64) -> ShareBatch {
        let lines = self.log.lines.len() as u64;
        let share = |n: u64| StoredShare {
            seq: Seq(self.seq + n + 1),
            line: u32::try_from(n.wrapping_mul(2_654_435_761) % lines).unwrap(),
            template: 0,
            nonce: Nonce::new(((n % lines) << 40) + n * 1_777),
            difficulty: Difficulty::new(2_000).unwrap(),
            received_at: at(self.minute),
            minute: Minute(self.minute),
            flags: 0,
        };
        ShareBatch {
            lines: self.log.lines.clone(),
            templates: vec![self.log.template.merkle_root.clone()],
            shares: (0..shares).map(share).collect(),
        }
    }

    /// One step of `shares` shares, spread over all lines; the next minute after every third.
    fn step(&mut self, shares: u64) -> FoldStep {
        let batch = self.batch(shares);
        let mut segments: BTreeMap<u32, SegmentDelta> = BTreeMap::new();
        for share in &batch.shares {
            let segment = segments.entry(share.line).or_insert_with(|| SegmentDelta {
                line: usize::try_from(share.line).unwrap(),
                minute: share.minute,
                start_seq: share.seq,
                last_seq: share.seq,
                shares: 0,
                work: Work::ZERO,
                first_at: share.received_at,
                last_at: share.received_at,
            });
            segment.last_seq = share.seq;
            segment.shares += 1;
            segment.work = segment.work.checked_add(share.difficulty.into()).unwrap();
        }
        let mut step = self.log.step();
        (step.from, step.to) = (Seq(self.seq), Seq(self.seq + shares));
        step.segments = segments.into_values().collect();
        step.batch = Some(BatchRow {
            first_seq: Seq(self.seq + 1),
            last_seq: step.to,
            shares,
            work: Work::new(shares * 2_000).unwrap(),
            first_at: at(self.minute),
            last_at: at(self.minute),
            digest: batch.digest(),
            body: batch.encode(),
        });
        self.seq += shares;
        if (self.seq / shares).is_multiple_of(3) {
            self.minute += 1;
        }
        step
    }
}

fn folding(bencher: Bencher<'_, '_>, scratch: Scratch, lines: usize) {
    let bench = std::cell::RefCell::new(Bench::new(scratch, lines));
    let first = bench.borrow_mut().step(SHARES);
    bench.borrow().fold(first);
    bencher.with_inputs(|| bench.borrow_mut().step(SHARES)).bench_local_values(|step| bench.borrow().fold(step));
}

#[divan::bench(args = [200, 2_000, 10_000], sample_count = 20, sample_size = 1)]
fn fold_sqlite(bencher: Bencher<'_, '_>, lines: usize) {
    folding(bencher, Scratch::sqlite(), lines);
}

#[divan::bench(args = [200, 2_000, 10_000], sample_count = 20, sample_size = 1)]
fn fold_postgres(bencher: Bencher<'_, '_>, lines: usize) {
    if std::env::var_os("MESHPOOL_TEST_POSTGRES").is_some() {
        folding(bencher, Scratch::postgres(), lines);
    }
}

#[divan::bench(sample_count = 50)]
fn encode(bencher: Bencher<'_, '_>) {
    let batch = Bench::new(Scratch::sqlite(), 200).batch(SHARES);
    bencher.bench(|| batch.encode());
}

#[divan::bench(sample_count = 50)]
fn digest(bencher: Bencher<'_, '_>) {
    let batch = Bench::new(Scratch::sqlite(), 200).batch(SHARES);
    bencher.bench(|| batch.digest());
}

#[divan::bench(sample_count = 50)]
fn decode(bencher: Bencher<'_, '_>) {
    let body = Bench::new(Scratch::sqlite(), 200).batch(SHARES).encode();
    bencher.bench(|| ShareBatch::decode(&body).unwrap());
}

/// A window over 6 hours of segments, an hour of older ones before it.
fn weighing(bencher: Bencher<'_, '_>, scratch: Scratch, lines: usize) {
    let mut bench = Bench::new(scratch, lines);
    let step = bench.step(SHARES);
    bench.fold(step);
    let found = EPOCH + 420;
    // Straight into the table: what a fold writes every minute.
    let numbers = |end: u32| {
        format!("(WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < {end}) SELECT n FROM t)")
    };
    let fill = format!(
        "INSERT INTO segments SELECT s.identity_id, s.last_seq + t.n * 100, s.last_seq + t.n * 100 + 99, s.minute + t.n, 1, \
         s.work, s.total_shares + t.n, s.total_work + s.work * t.n FROM segments s CROSS JOIN {} AS t; \
         UPDATE hosts SET folded_seq = 100000000",
        numbers(420)
    );
    sql(&bench.url, &fill).unwrap();
    (bench.log, bench.seq) = (bench.log, 100_000_000);
    let mut step = bench.log.candidate(&hash(1), 0, 1, found);
    (step.from, step.to) = (Seq(100_000_000), Seq(100_000_001));
    bench.fold(step);
    let block = bench.rt.block_on(bench.store.block_find(&hash(1))).unwrap().unwrap();
    let weigh = || bench.rt.block_on(bench.store.block_window_work(block.id)).unwrap();
    assert_eq!(weigh().0.len(), lines);
    bencher.bench_local(weigh);
}

#[divan::bench(args = [200, 2_000], sample_count = 20)]
fn weigh_sqlite(bencher: Bencher<'_, '_>, lines: usize) {
    weighing(bencher, Scratch::sqlite(), lines);
}

#[divan::bench(args = [200, 2_000], sample_count = 20)]
fn weigh_postgres(bencher: Bencher<'_, '_>, lines: usize) {
    if std::env::var_os("MESHPOOL_TEST_POSTGRES").is_some() {
        weighing(bencher, Scratch::postgres(), lines);
    }
}
