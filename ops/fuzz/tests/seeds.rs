//! Every target over its seeds, and over a bounded number of mutations of them.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test fails by panicking, and says on what")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use fuzz::TARGETS;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Mutated inputs of each target: so many, or as many as there is time for.
const MUTATIONS: u64 = 2_000;
const TIME: Duration = Duration::from_secs(1);

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder).expect("seeds").map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs a target; a panic is reported with the input that led to it.
fn run(name: &str, target: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        println!("{name} broke on: {}", input.escape_ascii());
        resume_unwind(panic);
    }
}

/// A seed with a few bytes changed, left out, doubled, or taken from another seed; now and then bytes of no seed.
fn mutated(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..6) {
        let place = random.random_range(0..=input.len());
        match random.random_range(0..6) {
            0 => input.insert(place, random.random()),
            1 => input.truncate(place),
            2 => {
                let other = &seeds[random.random_range(0..seeds.len())];
                input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
            }
            3 => input.extend(std::iter::repeat_with(|| random.random::<u8>()).take(32)),
            _ if place < input.len() => input[place] = random.random(),
            _ => {}
        }
    }
    input.truncate(16_384);
    input
}

#[test]
fn every_target_keeps_its_promise_on_its_seeds() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        seeds.iter().for_each(|seed| run(name, target, seed));
    }
}

#[test]
fn every_target_keeps_its_promise_on_mutations_of_its_seeds() {
    for (name, target) in TARGETS {
        let (seeds, mut random, start) = (seeds(name), StdRng::seed_from_u64(1), Instant::now());
        let mut ran = 0;
        while ran < MUTATIONS && start.elapsed() < TIME {
            run(name, target, &mutated(&mut random, &seeds));
            ran += 1;
        }
        assert!(ran >= 10, "{name} ran {ran} inputs only");
    }
}
