//! A pair's stake, and how likely that makes the check of a share. Integers only; chance and time are arguments.
//! The crate's documentation says why these numbers.
use std::time::Duration;

use units::{Difficulty, Timestamp, Work};

/// Parts of the payout window that are told apart. The work of one counts as if all of it were as old as its begin.
const STEPS: usize = 16;

/// For so large a part of the window a worth is not worked out again; until then it counts as if it were over.
const HOLDS: u64 = 256;

/// How likely a check is, in parts of 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CheckChance(u128);

impl CheckChance {
    const ONE: u128 = 1 << 64;
    /// Always.
    pub(crate) const CERTAIN: CheckChance = CheckChance(Self::ONE);

    /// At least `rate`, which lies between 0 and 1.
    pub(crate) fn from_rate(rate: f64) -> CheckChance {
        CheckChance(((rate * Self::ONE as f64).ceil() as u128).min(Self::ONE))
    }

    /// At least `2d / stake`; certain as long as the stake is no more than `2d`.
    pub(crate) fn of_stake(difficulty: Difficulty, stake: u64) -> CheckChance {
        let twice = 2 * u128::from(difficulty.get());
        if u128::from(stake) <= twice {
            return CheckChance::CERTAIN;
        }
        CheckChance((twice << 64).div_ceil(u128::from(stake)))
    }

    /// What one random number decides.
    pub(crate) fn draws(self, random: u64) -> bool {
        u128::from(random) < self.0
    }

    /// What a false share of this difficulty costs, `2d / p`; `None` for everything.
    pub(crate) fn price(self, difficulty: Difficulty) -> Option<Work> {
        let twice = (2 * u128::from(difficulty.get())) << 64;
        u64::try_from(twice.checked_div(self.0)?).ok().and_then(Work::new)
    }
}

/// The larger of two prices; `None` is everything.
pub(crate) fn higher_price(one: Option<Work>, other: Option<Work>) -> Option<Work> {
    Some(one?.max(other?))
}

/// The payout window, as stakes see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StakeWindow {
    window_ms: u64,
    step_ms: u64,
    hold: Duration,
}

impl StakeWindow {
    pub(crate) fn new(window: Duration) -> StakeWindow {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        let hold = Duration::from_millis(window_ms / HOLDS);
        StakeWindow { window_ms, step_ms: window_ms.div_ceil(STEPS as u64), hold }
    }

    /// How much of work done at `at` is still to be paid at `now`: `work * (1 - age / window)`, rounded down.
    pub(crate) fn unpaid(self, work: u64, at: Timestamp, now: Timestamp) -> u64 {
        self.in_work(self.parts(work, u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)))
    }

    /// The same in parts of the window's length: many of them are added up before they are divided.
    fn parts(self, work: u64, age_ms: u64) -> u128 {
        u128::from(work) * u128::from(self.window_ms.saturating_sub(age_ms))
    }

    fn in_work(self, parts: u128) -> u64 {
        u64::try_from(parts / u128::from(self.window_ms)).unwrap_or(u64::MAX)
    }

    fn step_of(self, at: Timestamp) -> u64 {
        u64::try_from(at.ms()).unwrap_or(0) / self.step_ms
    }
}

/// Verified work of one pair by age. Most shares only ask for its worth: that is at hand, the rest is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stake {
    /// What it is worth at `until`, and so no more than what it is worth before.
    worth: u64,
    until: Timestamp,
    steps: Option<Box<Steps>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Steps {
    /// The latest step with work.
    newest: u64,
    /// Work of the last steps, each at its number modulo [`STEPS`].
    work: [u64; STEPS],
}

impl Stake {
    /// A share was found true. One from before all that is remembered changes nothing.
    pub(crate) fn add(&mut self, work: u64, at: Timestamp, window: StakeWindow) {
        self.steps.get_or_insert_default().add(work, window.step_of(at));
        self.until = Timestamp::default();
    }

    /// How much of it is still to be paid: never more than the exact sum over its shares.
    pub(crate) fn worth(&mut self, now: Timestamp, window: StakeWindow) -> u64 {
        // Also a clock that was set back makes it worked out anew.
        if now >= self.until || now < self.until.minus(window.hold) {
            let until = now.plus(window.hold);
            self.worth = self.steps.as_ref().map_or(0, |steps| steps.worth(until, window));
            self.until = until;
        }
        self.worth
    }

    /// All of it is lost.
    pub(crate) fn clear(&mut self) {
        *self = Stake::default();
    }
}

impl Steps {
    fn add(&mut self, work: u64, step: u64) {
        if step > self.newest {
            let passed = usize::try_from(step - self.newest).unwrap_or(STEPS).min(STEPS);
            for gone in (self.newest + 1..=step).take(passed) {
                self.work[slot(gone)] = 0;
            }
            self.newest = step;
        }
        if self.newest - step < STEPS as u64 {
            let sum = &mut self.work[slot(step)];
            *sum = sum.saturating_add(work);
        }
    }

    fn worth(&self, now: Timestamp, window: StakeWindow) -> u64 {
        let now_ms = u64::try_from(now.ms()).unwrap_or(0);
        let steps = self.newest.saturating_sub(STEPS as u64 - 1)..=self.newest;
        let parts = steps.map(|step| {
            let age_ms = now_ms.saturating_sub(step.saturating_mul(window.step_ms));
            window.parts(self.work[slot(step)], age_ms)
        });
        window.in_work(parts.fold(0, u128::saturating_add))
    }
}

fn slot(step: u64) -> usize {
    usize::try_from(step % STEPS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(6 * 3600);
    const MAX: u64 = i64::MAX.unsigned_abs();

    fn difficulty(hashes: u64) -> Difficulty {
        Difficulty::new(hashes).unwrap()
    }

    /// The exact sum, in parts of the window's length.
    fn exact(shares: &[(u64, i64)], now: i64, window_ms: u64) -> u128 {
        let left = |at: i64| u128::from(window_ms.saturating_sub(u64::try_from(now - at).unwrap_or(0)));
        shares.iter().map(|(work, at)| u128::from(*work) * left(*at)).sum()
    }

    #[test]
    fn work_counts_less_the_older_it_is_and_nothing_once_it_is_paid() {
        let window = StakeWindow::new(WINDOW);
        let hour = |n: i64| Timestamp::from_ms(n * 3_600_000);
        let mut stake = Stake::default();
        stake.add(600, hour(1000), window);
        let worth: Vec<u64> = (1000..1008).map(|n| stake.worth(hour(n), window)).collect();
        assert!(worth[0] > 600 * 15 / 16 - 5 && worth[0] <= 600, "{worth:?}");
        assert!(worth.windows(2).all(|pair| pair[1] < pair[0] || pair[0] == 0), "{worth:?}");
        assert_eq!(worth[6..], [0, 0]);
        stake.add(100, hour(1010), window);
        assert!(stake.worth(hour(1010), window) <= 100, "what was paid does not come back");
        stake.add(900, hour(1001), window);
        assert!(stake.worth(hour(1010), window) <= 100, "a late verdict about paid work is no stake");
        stake.clear();
        assert_eq!(stake.worth(hour(1010), window), 0);
    }

    #[test]
    fn the_configured_rate_is_a_lower_bound_and_zero_is_never() {
        for (rate, drawn) in [(0.0, false), (1.0, true)] {
            assert_eq!(CheckChance::from_rate(rate).draws(u64::MAX), drawn);
            assert_eq!(CheckChance::from_rate(rate).draws(0), drawn);
        }
        assert_eq!(CheckChance::from_rate(0.0).price(Difficulty::ONE), None);
        assert_eq!(CheckChance::from_rate(0.1).price(difficulty(60)).unwrap().get(), 1199, "just above 0.1");
        assert_eq!(CheckChance::CERTAIN.price(difficulty(60)).unwrap().get(), 120);
    }

    #[test]
    fn a_worth_that_is_at_hand_is_no_more_than_it_is_worth_now() {
        let window = StakeWindow::new(WINDOW);
        let begin = Timestamp::from_ms(1_800_000_000_000);
        let mut stake = Stake::default();
        stake.add(1_000_000, begin, window);
        for second in 0..3 * 3600 {
            let now = begin.plus(Duration::from_secs(second));
            let (held, exact) = (stake.worth(now, window), stake.steps.as_ref().unwrap().worth(now, window));
            assert!(held <= exact && exact - held <= 1_000_000 / 256 + 1, "{held} {exact}");
        }
        let before = stake.worth(begin, window);
        stake.add(1_000_000, begin.plus(WINDOW / 2), window);
        assert!(stake.worth(begin.plus(WINDOW / 2), window) > before, "what is added counts at once");
    }

    proptest! {
        #[test]
        fn a_stake_is_never_more_than_what_is_still_to_be_paid_and_hardly_less(
            window_ms in 16_u64..100_000_000,
            shares in prop::collection::vec((1_u64..1_000_000_000, 0.0..1.5_f64), 1..40),
            ahead in 0.0..1.2_f64,
        ) {
            let window = StakeWindow::new(Duration::from_millis(window_ms));
            let begin = 1_800_000_000_000_i64;
            let later = |part: f64| begin + (part * window_ms as f64) as i64;
            let mut shares: Vec<(u64, i64)> = shares.into_iter().map(|(work, part)| (work, later(part))).collect();
            shares.sort_by_key(|(_, at)| *at);
            let now = shares.last().unwrap().1 + (ahead * window_ms as f64) as i64;
            let mut stake = Stake::default();
            for (work, at) in &shares {
                stake.add(*work, Timestamp::from_ms(*at), window);
            }
            let worth = u128::from(stake.worth(Timestamp::from_ms(now), window)) * u128::from(window_ms);
            let exact = exact(&shares, now, window_ms);
            prop_assert!(worth <= exact, "{worth} {exact}");
            let all: u128 = shares.iter().map(|(work, _)| u128::from(*work)).sum();
            let step = u128::from(window.step_ms) + window.hold.as_millis();
            let rounding = u128::from(window_ms) * STEPS as u128;
            prop_assert!(exact <= worth + all * step + rounding, "{worth} {exact}");
        }

        #[test]
        fn the_chance_is_at_least_twice_the_difficulty_over_the_stake(d in 1..=MAX, stake in 0..=MAX) {
            let chance = CheckChance::of_stake(difficulty(d), stake);
            let (twice, stake) = (2 * u128::from(d), u128::from(stake));
            if stake <= twice {
                prop_assert_eq!(chance, CheckChance::CERTAIN);
            } else {
                prop_assert!(chance.0 <= CheckChance::ONE && chance.0 >= (twice << 64) / stake);
                prop_assert!((chance.0 - 1) < (twice << 64).div_ceil(stake), "and no more than that");
            }
        }

        #[test]
        fn a_higher_difficulty_never_lowers_the_chance(d in 1..MAX, more in 1..MAX, stake in 0..=MAX) {
            let harder = d.saturating_add(more).min(MAX);
            prop_assert!(CheckChance::of_stake(difficulty(harder), stake) >= CheckChance::of_stake(difficulty(d), stake));
        }

        #[test]
        fn there_is_always_as_much_at_stake_as_a_false_share_costs(d in 1..=MAX / 2, stake in 0..=MAX, rate in 0.0..=1.0) {
            let chance = CheckChance::of_stake(difficulty(d), stake).max(CheckChance::from_rate(rate));
            let price = chance.price(difficulty(d)).unwrap().get();
            prop_assert!(price <= stake.max(2 * d), "{price}");
            // Within the rounding of one hash, twice the gain is lost on average.
            let lost = u128::from(price) + 1;
            prop_assert!(lost * chance.0 >= (2 * u128::from(d)) << 64 || chance == CheckChance::CERTAIN);
        }
    }
}
