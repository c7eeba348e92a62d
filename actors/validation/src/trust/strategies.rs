//! What cheaters have tried, against the real draws, prices and voids: all of them lose.
use rand::SeedableRng;
use rand::rngs::StdRng;
use store::fold::IdentityKey;
use store::rechecks::JudgedShare;
use units::Seq;

use super::*;
use crate::penalties::VoidPrice;
use crate::void_processor::lost;

const WINDOW: Duration = Duration::from_secs(6 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
const BEGIN: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const RUNS: u64 = 1_000;

/// A share that counts: its work and when it was sent.
type Sent = (Difficulty, Timestamp);

/// One pair and what it has come to.
struct Miner {
    rules: SamplingRules,
    trust: Trust,
    random: StdRng,
    now: Timestamp,
    verified: Vec<Sent>,
    provisional: Vec<Sent>,
    hashes: f64,
    /// Credited for shares that were voided later.
    paid: f64,
    is_caught: bool,
}

impl Miner {
    fn new(rules: SamplingRules, seed: u64) -> Miner {
        Miner {
            rules,
            trust: Trust::default(),
            random: StdRng::seed_from_u64(seed),
            now: BEGIN,
            verified: Vec::new(),
            provisional: Vec::new(),
            hashes: 0.0,
            paid: 0.0,
            is_caught: false,
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    /// Mines true shares, one in a minute.
    fn mine(&mut self, hashes: u64, shares: u32) {
        let difficulty = Difficulty::new(hashes).unwrap();
        for _ in 0..shares {
            self.hashes += hashes as f64;
            self.wait(MINUTE);
            match self.trust.draw(difficulty, &self.rules, &mut self.random, self.now) {
                Some(_) => {
                    self.trust.earn(difficulty, self.now, &self.rules);
                    self.verified.push((difficulty, self.now));
                }
                None => self.provisional.push((difficulty, self.now)),
            }
        }
    }

    /// Sends invented shares, all before the first verdict.
    fn invent(&mut self, hashes: u64, shares: u32) {
        if self.is_caught {
            return;
        }
        let difficulty = Difficulty::new(hashes).unwrap();
        let mut price: Option<VoidPrice> = None;
        for _ in 0..shares {
            match self.trust.draw(difficulty, &self.rules, &mut self.random, self.now) {
                Some(chance) if price.is_none() => {
                    let work = self.trust.price(chance, difficulty, &self.rules, self.now);
                    price = Some(VoidPrice { work, at: self.now });
                }
                Some(_) => {}
                None => self.provisional.push((difficulty, self.now)),
            }
        }
        if let Some(price) = price {
            self.void(price);
        }
    }

    fn void(&mut self, price: VoidPrice) {
        self.is_caught = true;
        let judged = |(difficulty, at): &Sent| JudgedShare {
            line: IdentityKey { address: String::new(), worker: String::new(), origin: [0; 16] },
            seq: Seq(1),
            minute: at.minute(),
            difficulty: *difficulty,
        };
        let latest: Vec<JudgedShare> = self.verified.iter().rev().map(judged).collect();
        let many = lost(&latest, price, self.rules.window);
        let voided = self.verified.split_off(self.verified.len() - many);
        for (difficulty, at) in voided.into_iter().chain(std::mem::take(&mut self.provisional)) {
            let unpaid = self.rules.window.unpaid(difficulty.get(), at, self.now);
            self.paid += (difficulty.get() - unpaid) as f64;
        }
    }

    /// What it is credited in the end, above what its hashes are worth.
    fn gain(self) -> f64 {
        let credited = self.verified.iter().chain(&self.provisional).map(|(difficulty, _)| difficulty.get() as f64);
        credited.sum::<f64>() + self.paid - self.hashes
    }
}

/// Gain for each honest hash, and its standard error.
fn gain(rules: SamplingRules, strategy: impl Fn(&mut Miner)) -> (f64, f64) {
    let run = |seed| {
        let mut miner = Miner::new(rules, seed);
        strategy(&mut miner);
        let hashes = miner.hashes;
        miner.gain() / hashes
    };
    let gains: Vec<f64> = (0..RUNS).map(run).collect();
    let mean = gains.iter().sum::<f64>() / RUNS as f64;
    let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (RUNS - 1) as f64;
    (mean, (variance / RUNS as f64).sqrt())
}

/// The defaults; the stake rule alone; and the stake rule behind a warm-up, which leaves no provisional work that could
/// be lost besides the stake.
fn all_rules() -> [SamplingRules; 3] {
    let settings = |warmup_shares| ValidationSettings {
        sample_rate: 0.0,
        warmup_shares,
        min_sample_every: 0,
        ..ValidationSettings::default()
    };
    [ValidationSettings::default(), settings(0), settings(20)].map(|settings| SamplingRules::new(&settings, WINDOW))
}

fn assert_loses(name: &str, strategy: impl Fn(&mut Miner)) {
    for rules in all_rules() {
        let (mean, error) = gain(rules, &strategy);
        assert!(mean + 3.0 * error < 0.0, "{name} gains {mean} with a standard error of {error}");
    }
}

#[test]
fn who_mines_honestly_is_credited_exactly_what_it_did() {
    for rules in all_rules() {
        assert_eq!(gain(rules, |miner| miner.mine(60, 500)), (0.0, 0.0));
    }
}

#[test]
fn inventing_shares_after_the_warm_up_loses() {
    for many in [1, 4, 20] {
        assert_loses(&format!("{many} one after the other"), |miner| {
            miner.mine(60, 20);
            (0..many).for_each(|_| miner.invent(60, 1));
        });
        assert_loses(&format!("{many} at once"), |miner| {
            miner.mine(60, 20);
            miner.invent(60, many);
        });
    }
}

#[test]
fn mining_easy_shares_and_inventing_hard_ones_loses() {
    assert_loses("21 at 15, then 4 at 240", |miner| {
        miner.mine(15, 21);
        (0..4).for_each(|_| miner.invent(240, 1));
    });
    assert_loses("a stake that just allows it", |miner| {
        miner.mine(15, 64);
        (0..4).for_each(|_| miner.invent(240, 1));
    });
}

#[test]
fn trust_that_is_almost_paid_out_buys_nothing() {
    for tenths in [3, 6, 9] {
        assert_loses(&format!("{tenths} tenths of a window later"), |miner| {
            miner.mine(60, 20);
            miner.wait(WINDOW * tenths / 10);
            (0..10).for_each(|_| miner.invent(6, 1));
        });
    }
}

#[test]
fn inventing_a_part_of_all_shares_loses() {
    for every in [2, 10, 50] {
        assert_loses(&format!("one in {every}"), |miner| {
            miner.mine(60, 21);
            while !miner.is_caught && miner.now < BEGIN.plus(WINDOW * 2) {
                miner.mine(60, every - 1);
                miner.invent(60, 1);
            }
        });
    }
}
