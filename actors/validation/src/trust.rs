//! Which shares are recomputed, and what a false one costs. Pure: chance and time are arguments.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use messages::facts::{Origin, TrustKey};
use rand::Rng;
use settings::{ValidationMode, ValidationSettings};
use store::penalties::ProvenPair;
use units::{Nonce, Timestamp};

/// TrustTable whose trust is remembered. Beyond it those that were not seen for longest go first, untrusted ones before all
/// others.
pub(crate) const PAIRS_MAX: usize = 100_000;
/// How many go at once, so that looking for them costs little per pair.
const PAIRS_EVICTED: usize = PAIRS_MAX / 16;
/// A pair that is not seen for so long is forgotten.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What the pool knows of one (address, origin).
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// Recomputed and found true since it was found false last.
    pub(crate) verified: u64,
    /// Sent to be recomputed, not back yet.
    pub(crate) under_way: u64,
    /// Shares until the next one that is checked whatever chance says.
    gap: u32,
    /// The one claim that went to the daemon before its check: its template and nonce.
    pub(crate) at_daemon: Option<(u64, Nonce)>,
    /// When it was seen last.
    pub(crate) seen_at: Timestamp,
}

impl Trust {
    /// Whether its block claims go to the daemon before the pool's own check, unless it is under suspicion.
    pub(crate) fn is_trusted(&self, settings: &ValidationSettings) -> bool {
        self.verified >= u64::from(settings.warmup_shares)
    }

    /// Whether this share is recomputed. One draw, made after the share is durable; the gap between two certain
    /// checks is random too, with the configured mean, so that nobody can count up to it.
    pub(crate) fn samples(&mut self, settings: &ValidationSettings, chance: &mut impl Rng) -> bool {
        if settings.mode == ValidationMode::Full {
            return true;
        }
        if self.verified + self.under_way < u64::from(settings.warmup_shares) {
            return true;
        }
        let drawn = chance.random::<f64>() < settings.sample_rate;
        if settings.min_sample_every == 0 {
            return drawn;
        }
        self.gap = self.gap.saturating_sub(1);
        if drawn || self.gap == 0 {
            self.gap = chance.random_range(1..=settings.min_sample_every.saturating_mul(2).saturating_sub(1));
            return true;
        }
        false
    }
}

/// What is known of every pair.
#[derive(Default)]
pub(crate) struct TrustTable(HashMap<TrustKey, Trust>);

impl TrustTable {
    /// With what the stored verdicts say.
    pub(crate) fn new(known: &[ProvenPair]) -> TrustTable {
        let trust = |pair: &ProvenPair| {
            let trust = Trust { verified: pair.verified, seen_at: pair.last.start(), ..Trust::default() };
            ((Arc::from(pair.address.as_str()), Origin(pair.origin)), trust)
        };
        TrustTable(known.iter().take(PAIRS_MAX).map(trust).collect())
    }

    /// The trust of a pair that has just been heard of.
    pub(crate) fn touch(&mut self, pair: &TrustKey, settings: &ValidationSettings, now: Timestamp) -> &mut Trust {
        if self.0.len() >= PAIRS_MAX && !self.0.contains_key(pair) {
            self.evict(settings);
        }
        let trust = self.0.entry(pair.clone()).or_default();
        trust.seen_at = now;
        trust
    }

    fn evict(&mut self, settings: &ValidationSettings) {
        let rank = |trust: &Trust| (trust.is_trusted(settings), trust.seen_at);
        let mut ranks: Vec<_> = self.0.values().map(rank).collect();
        let (_, last, _) = ranks.select_nth_unstable(PAIRS_EVICTED);
        let last = *last;
        self.0.retain(|_, trust| rank(trust) > last);
    }

    /// A check of this pair was given up.
    pub(crate) fn forgone(&mut self, pair: &TrustKey) {
        if let Some(trust) = self.0.get_mut(pair) {
            trust.under_way = trust.under_way.saturating_sub(1);
        }
    }

    /// A false share: trust has to be earned again.
    pub(crate) fn distrust(&mut self, pair: &TrustKey) {
        if let Some(trust) = self.0.get_mut(pair) {
            trust.verified = 0;
        }
    }

    pub(crate) fn prune(&mut self, now: Timestamp) {
        self.0.retain(|_, trust| now.since(trust.seen_at) < FORGET_AFTER);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use units::Minute;

    use super::*;

    fn checked(settings: &ValidationSettings, trust: &mut Trust, shares: u32) -> u32 {
        let mut chance = StdRng::seed_from_u64(7);
        (0..shares).map(|_| u32::from(trust.samples(settings, &mut chance))).sum()
    }

    #[test]
    fn every_share_is_checked_until_the_warm_up_is_under_way() {
        let settings = ValidationSettings { sample_rate: 0.0, min_sample_every: 0, ..ValidationSettings::default() };
        let mut trust = Trust::default();
        for under_way in 0..20 {
            trust.under_way = under_way;
            assert_eq!(checked(&settings, &mut trust, 1), 1);
        }
        trust.under_way = 20;
        assert_eq!(checked(&settings, &mut trust, 1000), 0);
        assert!(!trust.is_trusted(&settings), "under way is not verified");
    }

    #[test]
    fn a_trusted_pair_is_sampled_at_about_the_rate_of_both_rules() {
        let settings = ValidationSettings::default();
        let mut trust = Trust { verified: 20, ..Trust::default() };
        let checks = checked(&settings, &mut trust, 100_000);
        assert!((15_000..20_000).contains(&checks), "{checks}");
    }

    #[test]
    fn switched_off_means_never() {
        let settings = ValidationSettings {
            sample_rate: 0.0,
            warmup_shares: 0,
            min_sample_every: 0,
            ..ValidationSettings::default()
        };
        assert_eq!(checked(&settings, &mut Trust::default(), 1000), 0);
        assert!(Trust::default().is_trusted(&settings));
    }

    fn pair(n: usize) -> TrustKey {
        (n.to_string().into(), Origin([0; 16]))
    }

    #[test]
    fn a_flood_of_new_pairs_neither_grows_the_memory_nor_pushes_trusted_ones_out() {
        let settings = ValidationSettings::default();
        let mut pairs = TrustTable::default();
        pairs.touch(&pair(0), &settings, Timestamp::from_ms(0)).verified = 20;
        for n in 1..2 * PAIRS_MAX {
            pairs.touch(&pair(n), &settings, Timestamp::from_ms(n as i64));
        }
        assert!(pairs.len() <= PAIRS_MAX);
        assert_eq!(pairs.touch(&pair(0), &settings, Timestamp::from_ms(0)).verified, 20);
        assert_eq!(pairs.touch(&pair(2 * PAIRS_MAX), &settings, Timestamp::from_ms(0)).verified, 0, "a new one fits");
    }

    #[test]
    fn what_is_not_seen_for_a_day_is_forgotten() {
        let known = ProvenPair { address: "0".into(), origin: [0; 16], verified: 30, last: Minute(10) };
        let mut pairs = TrustTable::new(&[known]);
        assert_eq!(pairs.len(), 1);
        pairs.prune(Minute(10).start().plus(FORGET_AFTER / 2));
        let settings = ValidationSettings::default();
        assert!(pairs.touch(&pair(0), &settings, Minute(10).start()).is_trusted(&settings));
        pairs.prune(Minute(10).start().plus(FORGET_AFTER));
        assert_eq!(pairs.len(), 0);
    }
}
