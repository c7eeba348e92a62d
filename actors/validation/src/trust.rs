//! Which shares are recomputed, and what a false one costs. Pure: chance and time are arguments.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use messages::facts::{Origin, TrustKey};
use messages::validation::ClaimPermits;
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

    /// Verified shares from which on a pair has places for block claims of its own: nobody has them for nothing.
    fn places_from(&self) -> u64 {
        self.warmup_shares.max(1)
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
    fn earn(&mut self, difficulty: Difficulty, at: Timestamp, rules: &SamplingRules) {
        self.verified += 1;
        self.stake.add(difficulty.get(), at, rules.window);
    }

    /// How likely the check of a share of this difficulty is, the certain checks left aside.
    pub(crate) fn chance(&mut self, difficulty: Difficulty, rules: &SamplingRules, now: Timestamp) -> CheckChance {
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
    /// Hears who is trusted.
    places: Arc<ClaimPermits>,
}

impl TrustTable {
    /// Nobody is known.
    pub(crate) fn new(rules: SamplingRules, places: Arc<ClaimPermits>) -> TrustTable {
        TrustTable { trusts: HashMap::new(), rules, places }
    }

    /// With what the stored verdicts say, for pairs that `admits`.
    pub(crate) fn with_known(
        rules: SamplingRules,
        places: Arc<ClaimPermits>,
        known: &[KnownPair],
        admits: impl Fn(&TrustKey) -> bool,
    ) -> TrustTable {
        let mut table = TrustTable::new(rules, places);
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
        table.tell_places();
        table
    }

    /// Says who is trusted, after many have changed.
    fn tell_places(&self) {
        let trusted = self.trusts.iter().filter(|(_, trust)| trust.verified >= self.rules.places_from());
        self.places.trust_only(trusted.map(|(pair, _)| pair.clone()));
    }

    /// The trust of a pair that has just been heard of.
    pub(crate) fn touch(&mut self, pair: &TrustKey, now: Timestamp) -> &mut Trust {
        // Beyond by one, so that a pair that is known takes one search.
        if self.trusts.len() > PAIRS_MAX {
            self.evict(pair);
        }
        let trust = self.trusts.entry(pair.clone()).or_default();
        trust.seen_at = now;
        trust
    }

    /// A share of a pair was found true.
    pub(crate) fn earn(&mut self, pair: &TrustKey, difficulty: Difficulty, at: Timestamp, now: Timestamp) {
        let rules = self.rules;
        let trust = self.touch(pair, now);
        trust.earn(difficulty, at, &rules);
        if trust.verified == rules.places_from() {
            self.places.trust(pair);
        }
    }

    fn evict(&mut self, but_not: &TrustKey) {
        let rank = |trust: &Trust| (trust.is_trusted(&self.rules), trust.seen_at);
        let mut ranks: Vec<_> = self.trusts.values().map(rank).collect();
        let (_, last, _) = ranks.select_nth_unstable(PAIRS_EVICTED);
        let last = *last;
        self.trusts.retain(|pair, trust| pair == but_not || rank(trust) > last);
        self.tell_places();
    }

    /// A check of this pair was given up.
    pub(crate) fn forgone(&mut self, pair: &TrustKey, now: Timestamp) {
        if let Some(trust) = self.trusts.get_mut(pair) {
            trust.under_way = trust.under_way.saturating_sub(1);
            trust.forgone_at = Some(now);
        }
    }

    /// So many of its checks are not under way any more.
    pub(crate) fn settled(&mut self, pair: &TrustKey, checks: u64) {
        if let Some(trust) = self.trusts.get_mut(pair) {
            trust.under_way = trust.under_way.saturating_sub(checks);
        }
    }

    /// A false share: trust has to be earned again, and the stake is lost.
    pub(crate) fn distrust(&mut self, pair: &TrustKey) {
        if let Some(trust) = self.trusts.get_mut(pair) {
            trust.verified = 0;
            trust.stake.clear();
        }
        self.places.distrust(pair);
    }

    pub(crate) fn prune(&mut self, now: Timestamp) {
        let places = &self.places;
        self.trusts.retain(|pair, trust| {
            let is_kept = now.since(trust.seen_at) < FORGET_AFTER;
            if !is_kept {
                places.distrust(pair);
            }
            is_kept
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.trusts.len()
    }
}

#[cfg(test)]
mod strategies;
#[cfg(test)]
mod tests;
