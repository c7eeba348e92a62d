//! Dividing one block over a payout window. The budget is 5 ms for 10,000 miners.
use std::hint::black_box;

use accounting::{MinerWork, Rules, Scheme, allocate};
use divan::Bencher;
use units::{Amount, BasisPoints, Work};

const MINERS: [u64; 3] = [100, 1_000, 10_000];

fn main() {
    divan::main();
}

fn reward() -> Amount {
    Amount::from_atoms(52_967_845_303).expect("a subsidy is an amount")
}

/// Texts as long as addresses, and a spread of weights that is the same in every run.
fn window(miners: u64) -> Vec<(String, u64)> {
    (1..=miners).map(|miner| (format!("{miner:0>93}"), miner.wrapping_mul(0x9E37_79B9) % 1_000_003)).collect()
}

#[divan::bench(args = MINERS)]
fn allocate_block(bencher: Bencher<'_, '_>, miners: u64) {
    let rules = Rules {
        scheme: Scheme::Pplns,
        fee_bps: BasisPoints::new(100).expect("1 %"),
        fee_flat: Amount::ZERO,
        finder_bonus_bps: BasisPoints::new(500).expect("5 %"),
        provisional_cap_multiplier: Some(19),
    };
    let work = |hashes| Work::new(hashes).expect("small work");
    let works: Vec<MinerWork<String>> = window(miners)
        .into_iter()
        .map(|(key, weight)| MinerWork { key, verified: work(weight / 10), provisional: work(weight) })
        .collect();
    let finder = works.first().map(|work| work.key.clone());
    bencher.bench_local(|| allocate(black_box(reward()), finder.as_ref(), &works, &rules).expect("small work"));
}
