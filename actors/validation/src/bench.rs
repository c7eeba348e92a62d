//! What the benchmark reaches beside the public interface; nothing else uses it.
use std::sync::Arc;
use std::time::Duration;

use messages::facts::{Restrictions, TrustKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use settings::ValidationSettings;
use units::{Difficulty, Timestamp};

use crate::trust::{SamplingRules, TrustTable};

/// Trust of many pairs, and the draws.
pub struct Sampler {
    pairs: TrustTable,
    restrictions: Restrictions,
    random: StdRng,
}

impl Sampler {
    /// Each of `pairs` has verified shares of the last hours; some others are under suspicion.
    #[must_use]
    pub fn new(pairs: &[TrustKey], forced: &[TrustKey], now: Timestamp) -> Sampler {
        let window = Duration::from_secs(6 * 3600);
        let mut table = TrustTable::new(SamplingRules::new(&ValidationSettings::default(), window), Arc::default());
        for pair in pairs {
            for share in 0..32 {
                table.earn(pair, Difficulty::ONE, now.minus(window * share / 32), now);
            }
        }
        let restrictions = Restrictions { forced: forced.iter().cloned().collect(), ..Restrictions::default() };
        Sampler { pairs: table, restrictions, random: StdRng::from_seed([7; 32]) }
    }

    /// Decides about one share, and books it as verified if it is drawn.
    pub fn share(&mut self, pair: &TrustKey, difficulty: Difficulty, now: Timestamp) -> bool {
        let rules = self.pairs.rules;
        let is_suspect = self.restrictions.forced.contains(pair) || self.restrictions.quarantined.contains_key(pair);
        let trust = self.pairs.touch(pair, now);
        let is_drawn = is_suspect || trust.draw(difficulty, &rules, &mut self.random, now).is_some();
        if is_drawn {
            self.pairs.earn(pair, difficulty, now, now);
        }
        is_drawn
    }
}
