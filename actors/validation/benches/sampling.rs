//! Deciding about one share, and booking what came of it. The budget is a microsecond at 100,000 pairs.
use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use messages::facts::{Origin, TrustKey};
use units::{Difficulty, Timestamp};
use validation::bench::Sampler;

/// The last one is as many as are remembered.
const PAIRS: [usize; 3] = [1_000, 10_000, 100_000];
/// Shares of one measurement: one alone is shorter than the clock is exact.
const SHARES: usize = 1_000;
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn main() {
    divan::main();
}

/// Texts as long as addresses.
fn pair(n: usize) -> TrustKey {
    let mut origin = [0; 16];
    origin[..8].copy_from_slice(&n.to_le_bytes());
    (format!("{n:0>93}").into(), Origin(origin))
}

#[divan::bench(args = PAIRS)]
fn shares(bencher: Bencher<'_, '_>, count: usize) {
    let pairs: Vec<TrustKey> = (0..count).map(pair).collect();
    let forced: Vec<TrustKey> = (count..count + 100).map(pair).collect();
    let mut sampler = Sampler::new(&pairs, &forced, NOW);
    let difficulty = Difficulty::new(60).expect("not zero");
    let mut n = 0;
    // Shares come with their pair, which is at hand; what is known of it is not.
    let batch = || {
        let keys = (0..SHARES).map(|_| {
            // No order that a cache could learn.
            n = (n + 7_919) % count;
            pair(n)
        });
        keys.collect::<Vec<TrustKey>>()
    };
    bencher.counter(ItemsCount::new(SHARES)).with_inputs(batch).bench_local_refs(|keys| {
        for key in keys.iter() {
            black_box(sampler.share(key, difficulty, NOW));
        }
    });
}
