//! Which shares are recomputed, and what a false one costs. Pure: chance and time are arguments.
use std::time::Duration;

use rand::Rng;
use settings::{ValidationMode, ValidationSettings};
use units::Timestamp;

/// Proven false shares that lead to a quarantine.
const QUARANTINE_STRIKES: u32 = 3;
/// First quarantine; each further strike doubles it.
const QUARANTINE_BASE: Duration = Duration::from_secs(3600);
/// Longest quarantine.
const QUARANTINE_MAX: Duration = Duration::from_secs(168 * 3600);

/// What the pool knows of one (address, origin).
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// Recomputed and found true.
    pub(crate) verified: u64,
    /// Recomputed and found false.
    pub(crate) strikes: u32,
    /// Sent to be recomputed, not back yet.
    pub(crate) under_way: u64,
    /// Shares until the next one that is checked whatever chance says.
    gap: u32,
    /// When it was seen last.
    pub(crate) seen_at: Timestamp,
}

impl Trust {
    /// Whether its block claims go to the daemon before the pool's own check.
    pub(crate) fn is_trusted(&self, settings: &ValidationSettings) -> bool {
        self.strikes == 0 && self.verified >= u64::from(settings.warmup_shares)
    }

    /// Whether this share is recomputed. One draw, made after the share is durable; the gap between two certain
    /// checks is random too, with the configured mean, so that nobody can count up to it.
    pub(crate) fn samples(&mut self, settings: &ValidationSettings, chance: &mut impl Rng) -> bool {
        if settings.mode == ValidationMode::Full || self.strikes > 0 {
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

    /// Notes a false share; how long the pair is refused, if it is.
    pub(crate) fn strike(&mut self) -> Option<Duration> {
        self.strikes += 1;
        let beyond = self.strikes.checked_sub(QUARANTINE_STRIKES)?;
        Some((QUARANTINE_BASE * 2u32.saturating_pow(beyond.min(16))).min(QUARANTINE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

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

    #[test]
    fn the_third_strike_is_a_quarantine_that_doubles_up_to_a_week() {
        let mut trust = Trust::default();
        assert_eq!([trust.strike(), trust.strike()], [None, None]);
        let hours: Vec<_> = (0..9).map(|_| trust.strike().unwrap().as_secs() / 3600).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16, 32, 64, 128, 168]);
        assert_eq!(checked(&ValidationSettings::default(), &mut trust, 50), 50, "a cheater is checked for ever");
    }
}
