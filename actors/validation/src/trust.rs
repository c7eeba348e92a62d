//! Which shares are recomputed, and what a false one costs. Pure: chance and time are arguments.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use messages::facts::{Origin, TrustKey};
use rand::Rng;
use settings::{ValidationMode, ValidationSettings};
use units::{Difficulty, Nonce, Timestamp, Work};

use crate::known::{FORGET_AFTER, KnownPair, PAIRS_MAX};
use crate::stake::{CheckChance, Stake, StakeWindow};

/// How many go at once, so that looking for them costs little per pair.
const PAIRS_EVICTED: usize = PAIRS_MAX / 16;
/// By what a share is drawn, from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SamplingRules {
    is_full: bool,
    /// Never below it.
    pub(crate) rate: CheckChance,
    warmup_shares: u64,
    min_sample_every: u32,
    payout_window: Duration,
    window: StakeWindow,
}

impl SamplingRules {
    /// `payout_window` is for how long a share is paid.
    pub(crate) fn new(settings: &ValidationSettings, payout_window: Duration) -> SamplingRules {
        SamplingRules {
            is_full: settings.mode == ValidationMode::Full,
            rate: CheckChance::from_rate(settings.sample_rate),
            warmup_shares: u64::from(settings.warmup_shares),
            min_sample_every: settings.min_sample_every,
            payout_window,
            window: StakeWindow::new(payout_window),
        }
    }
}

/// What the pool knows of one (address, origin).
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// Recomputed and found true since it was found false last.
    pub(crate) verified: u64,
    /// Sent to be recomputed, not back yet.
    pub(crate) under_way: u64,
    /// The work of those that were found true, as far as it is still to be paid.
    stake: Stake,
    /// Shares until the next one that is checked whatever chance says.
    gap: u32,
    /// The one claim that went to the daemon before its check: its template and nonce.
    pub(crate) at_daemon: Option<(u64, Nonce)>,
    /// When it was seen last.
    pub(crate) seen_at: Timestamp,
    /// When a check of it was given up last.
    forgone_at: Option<Timestamp>,
}

impl Trust {
    /// Whether its block claims go to the daemon before the pool's own check, unless it is under suspicion.
    pub(crate) fn is_trusted(&self, rules: &SamplingRules) -> bool {
        self.verified >= rules.warmup_shares
    }

    /// A share of it that was received at `at` was found true.
    pub(crate) fn earn(&mut self, difficulty: Difficulty, at: Timestamp, rules: &SamplingRules) {
        self.verified += 1;
        self.stake.add(difficulty.get(), at, rules.window);
    }

    /// How likely the check of a share of this difficulty is, the certain checks left aside.
    pub(crate) fn chance(&self, difficulty: Difficulty, rules: &SamplingRules, now: Timestamp) -> CheckChance {
        if rules.is_full || self.verified + self.under_way < rules.warmup_shares {
            return CheckChance::CERTAIN;
        }
        CheckChance::of_stake(difficulty, self.stake.worth(now, rules.window)).max(rules.rate)
    }

    /// Whether this share is recomputed, and how likely that was. One draw, made after the share is durable; the gap
    /// between two certain checks is random too, with the configured mean, so that nobody can count up to it.
    pub(crate) fn draw(
        &mut self,
        difficulty: Difficulty,
        rules: &SamplingRules,
        random: &mut impl Rng,
        now: Timestamp,
    ) -> Option<CheckChance> {
        let chance = self.chance(difficulty, rules, now);
        if chance == CheckChance::CERTAIN {
            return Some(chance);
        }
        let drawn = chance.draws(random.random());
        if rules.min_sample_every == 0 {
            return drawn.then_some(chance);
        }
        self.gap = self.gap.saturating_sub(1);
        if drawn || self.gap == 0 {
            self.gap = random.random_range(1..=rules.min_sample_every.saturating_mul(2).saturating_sub(1));
            return Some(chance);
        }
        None
    }

    /// How much verified work a false share costs that was drawn by this chance; `None` for all of it.
    pub(crate) fn price(
        &self,
        chance: CheckChance,
        difficulty: Difficulty,
        rules: &SamplingRules,
        now: Timestamp,
    ) -> Option<Work> {
        // Where checks are given up, the chance of one was less than it says.
        let all_done = self.forgone_at.is_none_or(|at| now.since(at) >= rules.payout_window);
        chance.price(difficulty).filter(|_| all_done)
    }
}

/// What is known of every pair.
pub(crate) struct TrustTable {
    trusts: HashMap<TrustKey, Trust>,
    pub(crate) rules: SamplingRules,
}

impl TrustTable {
    /// Nobody is known.
    pub(crate) fn new(rules: SamplingRules) -> TrustTable {
        TrustTable { trusts: HashMap::new(), rules }
    }

    /// With what the stored verdicts say, for pairs that `admits`.
    pub(crate) fn with_known(
        rules: SamplingRules,
        known: &[KnownPair],
        admits: impl Fn(&TrustKey) -> bool,
    ) -> TrustTable {
        let mut table = TrustTable::new(rules);
        for pair in known.iter().take(PAIRS_MAX) {
            let key = (Arc::from(pair.address.as_str()), Origin(pair.origin));
            if admits(&key) {
                let mut trust = Trust { verified: pair.verified, seen_at: pair.last.start(), ..Trust::default() };
                for (minute, difficulty) in &pair.work {
                    trust.stake.add(difficulty.get(), minute.start(), table.rules.window);
                }
                table.trusts.insert(key, trust);
            }
        }
        table
    }

    /// The trust of a pair that has just been heard of.
    pub(crate) fn touch(&mut self, pair: &TrustKey, now: Timestamp) -> &mut Trust {
        // Room for one more, whether it is a new one or not: one search is all that a share takes.
        if self.trusts.len() >= PAIRS_MAX {
            self.evict();
        }
        let trust = self.trusts.entry(pair.clone()).or_default();
        trust.seen_at = now;
        trust
    }

    /// A share of a pair was found true.
    pub(crate) fn earn(&mut self, pair: &TrustKey, difficulty: Difficulty, at: Timestamp, now: Timestamp) {
        let rules = self.rules;
        self.touch(pair, now).earn(difficulty, at, &rules);
    }

    fn evict(&mut self) {
        let rank = |trust: &Trust| (trust.is_trusted(&self.rules), trust.seen_at);
        let mut ranks: Vec<_> = self.trusts.values().map(rank).collect();
        let (_, last, _) = ranks.select_nth_unstable(PAIRS_EVICTED);
        let last = *last;
        self.trusts.retain(|_, trust| rank(trust) > last);
    }

    /// A check of this pair was given up.
    pub(crate) fn forgone(&mut self, pair: &TrustKey, now: Timestamp) {
        if let Some(trust) = self.trusts.get_mut(pair) {
            trust.under_way = trust.under_way.saturating_sub(1);
            trust.forgone_at = Some(now);
        }
    }

    /// A false share: trust has to be earned again, and the stake is lost.
    pub(crate) fn distrust(&mut self, pair: &TrustKey) {
        if let Some(trust) = self.trusts.get_mut(pair) {
            trust.verified = 0;
            trust.stake.clear();
        }
    }

    pub(crate) fn prune(&mut self, now: Timestamp) {
        self.trusts.retain(|_, trust| now.since(trust.seen_at) < FORGET_AFTER);
    }

    pub(crate) fn len(&self) -> usize {
        self.trusts.len()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use units::Minute;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(6 * 3600);
    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
    const EASY: Difficulty = Difficulty::new(15).unwrap();
    const HARD: Difficulty = Difficulty::new(240).unwrap();

    fn rules(settings: &ValidationSettings) -> SamplingRules {
        SamplingRules::new(settings, WINDOW)
    }

    /// The stake rule alone.
    fn bare_rules() -> SamplingRules {
        let nothing = ValidationSettings {
            sample_rate: 0.0,
            warmup_shares: 0,
            min_sample_every: 0,
            ..ValidationSettings::default()
        };
        rules(&nothing)
    }

    fn checked(rules: &SamplingRules, trust: &mut Trust, difficulty: Difficulty, shares: u32) -> u32 {
        let mut random = StdRng::seed_from_u64(7);
        (0..shares).map(|_| u32::from(trust.draw(difficulty, rules, &mut random, NOW).is_some())).sum()
    }

    /// A pair with so many verified shares.
    fn proven(rules: &SamplingRules, difficulty: Difficulty, shares: u64) -> Trust {
        let mut trust = Trust::default();
        (0..shares).for_each(|_| trust.earn(difficulty, NOW, rules));
        trust
    }

    #[test]
    fn every_share_is_checked_until_the_warm_up_is_under_way() {
        let settings = ValidationSettings { sample_rate: 0.0, min_sample_every: 0, ..ValidationSettings::default() };
        let rules = rules(&settings);
        let mut trust = Trust::default();
        trust.stake.add(u64::MAX >> 1, NOW, rules.window);
        for under_way in 0..20 {
            trust.under_way = under_way;
            assert_eq!(checked(&rules, &mut trust, EASY, 1), 1);
        }
        trust.under_way = 20;
        assert_eq!(checked(&rules, &mut trust, EASY, 1000), 0);
        assert!(!trust.is_trusted(&rules), "under way is not verified");
    }

    #[test]
    fn every_share_is_checked_until_some_are_verified_however_many_are_under_way() {
        let rules = bare_rules();
        let mut trust = Trust { under_way: 1000, ..Trust::default() };
        assert_eq!(checked(&rules, &mut trust, EASY, 100), 100);
        trust.earn(EASY, NOW, &rules);
        trust.earn(EASY, NOW, &rules);
        assert_eq!(checked(&rules, &mut trust, EASY, 100), 100, "the stake is two shares");
        trust.earn(EASY, NOW, &rules);
        assert!(checked(&rules, &mut trust, EASY, 100) < 100);
    }

    #[test]
    fn easy_shares_are_no_stake_for_hard_ones() {
        let rules = bare_rules();
        let mut trust = proven(&rules, EASY, 21);
        assert!(checked(&rules, &mut trust, EASY, 10_000) < 1_200, "one in ten of the same difficulty");
        assert_eq!(checked(&rules, &mut trust, HARD, 100), 100, "21 * 15 is less than twice 240");
        let mut trust = proven(&rules, EASY, 320);
        let checks = checked(&rules, &mut trust, HARD, 10_000);
        assert!((1_000..1_200).contains(&checks), "twenty hard shares are at stake: {checks}");
    }

    #[test]
    fn a_stake_that_is_almost_paid_out_is_worth_little() {
        let rules = bare_rules();
        let trust = proven(&rules, EASY, 1000);
        let later = NOW.plus(WINDOW * 9 / 10);
        assert!(trust.chance(EASY, &rules, later) > CheckChance::from_rate(0.02));
        assert!(trust.chance(EASY, &rules, NOW) < CheckChance::from_rate(0.0025));
        assert_eq!(trust.chance(EASY, &rules, NOW.plus(WINDOW)), CheckChance::CERTAIN);
    }

    #[test]
    fn a_trusted_pair_is_sampled_at_about_the_rate_of_both_rules() {
        let rules = rules(&ValidationSettings::default());
        let mut trust = proven(&rules, EASY, 30);
        let checks = checked(&rules, &mut trust, EASY, 100_000);
        assert!((15_000..20_000).contains(&checks), "{checks}");
    }

    #[test]
    fn a_full_check_leaves_nothing_to_chance() {
        let rules = rules(&ValidationSettings { mode: ValidationMode::Full, ..ValidationSettings::default() });
        assert_eq!(checked(&rules, &mut proven(&rules, EASY, 1000), EASY, 100), 100);
    }

    #[test]
    fn a_retarget_does_not_end_trust_and_a_false_share_does() {
        let rules = rules(&ValidationSettings::default());
        let mut pairs = TrustTable::new(rules);
        *pairs.touch(&pair(0), NOW) = proven(&rules, EASY, 20);
        assert!(pairs.touch(&pair(0), NOW).is_trusted(&rules));
        assert_eq!(pairs.touch(&pair(0), NOW).chance(HARD, &rules, NOW), CheckChance::CERTAIN);
        assert!(pairs.touch(&pair(0), NOW).is_trusted(&rules), "at whatever difficulty it goes on");
        pairs.distrust(&pair(0));
        let trust = pairs.touch(&pair(0), NOW);
        assert!(!trust.is_trusted(&rules) && trust.stake == Stake::default());
    }

    #[test]
    fn a_false_share_costs_twice_its_difficulty_over_its_chance_and_all_while_checks_are_given_up() {
        let rules = rules(&ValidationSettings::default());
        let mut pairs = TrustTable::new(rules);
        *pairs.touch(&pair(0), NOW) = proven(&rules, EASY, 1000);
        let price = |pairs: &mut TrustTable, now| {
            let trust = pairs.touch(&pair(0), now);
            trust.price(trust.chance(EASY, &rules, NOW), EASY, &rules, now).map(Work::get)
        };
        assert_eq!(price(&mut pairs, NOW), Some(299), "at a chance just above 0.1");
        pairs.forgone(&pair(0), NOW);
        assert_eq!(price(&mut pairs, NOW), None);
        assert_eq!(price(&mut pairs, NOW.plus(WINDOW)), Some(299), "what was given up is paid by now");
    }

    fn pair(n: usize) -> TrustKey {
        (n.to_string().into(), Origin([0; 16]))
    }

    #[test]
    fn a_flood_of_new_pairs_neither_grows_the_memory_nor_pushes_trusted_ones_out() {
        let mut pairs = TrustTable::new(rules(&ValidationSettings::default()));
        pairs.touch(&pair(0), Timestamp::from_ms(0)).verified = 20;
        for n in 1..2 * PAIRS_MAX {
            pairs.touch(&pair(n), Timestamp::from_ms(n as i64));
        }
        assert!(pairs.len() <= PAIRS_MAX);
        assert_eq!(pairs.touch(&pair(0), Timestamp::from_ms(0)).verified, 20);
        assert_eq!(pairs.touch(&pair(2 * PAIRS_MAX), Timestamp::from_ms(0)).verified, 0, "a new one fits");
    }

    fn known(n: usize, last: Minute) -> KnownPair {
        KnownPair {
            address: n.to_string(),
            origin: [0; 16],
            verified: 30,
            last,
            work: (0..30).map(|_| (last, EASY)).collect(),
        }
    }

    #[test]
    fn what_is_not_seen_for_a_day_is_forgotten() {
        let rules = rules(&ValidationSettings::default());
        let mut pairs = TrustTable::with_known(rules, &[known(0, Minute(10))], |_| true);
        assert_eq!(pairs.len(), 1);
        pairs.prune(Minute(10).start().plus(FORGET_AFTER / 2));
        assert!(pairs.touch(&pair(0), Minute(10).start()).is_trusted(&rules));
        pairs.prune(Minute(10).start().plus(FORGET_AFTER));
        assert_eq!(pairs.len(), 0);
    }

    #[test]
    fn what_the_books_know_is_a_stake_by_its_age_and_only_of_those_without_a_strike() {
        let rules = rules(&ValidationSettings::default());
        let stored = [known(0, NOW.minute()), known(1, NOW.minus(WINDOW / 2).minute()), known(2, NOW.minute())];
        let mut pairs = TrustTable::with_known(rules, &stored, |key| *key != pair(2));
        let mut worth = |n| pairs.touch(&pair(n), NOW).stake.worth(NOW, rules.window);
        assert!((390..=450).contains(&worth(0)), "{}", worth(0));
        assert!((190..=225).contains(&worth(1)), "{}", worth(1));
        assert_eq!(worth(2), 0);
    }
}
