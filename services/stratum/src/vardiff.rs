//! Which difficulty a session's next job has.
//!
//! Work per time is measured, not shares: a change of difficulty in the middle of a window does not distort it. A
//! small step waits for the next job, since every push throws away the hashes in progress.
use std::time::{Duration, Instant};

use settings::VardiffSettings;
use units::Difficulty;

/// Shares that a measurement needs before it is believed.
const SHARES_MIN: u32 = 4;
/// Beyond this factor between what is and what should be a job is pushed at once.
const PUSH_FACTOR: f64 = 2.0;
/// No step is larger than this factor.
const STEP_MAX: f64 = 4.0;

/// One session's controller.
#[derive(Debug)]
pub(crate) struct Vardiff {
    difficulty: Difficulty,
    since: Instant,
    shares: u32,
    work: f64,
}

impl Vardiff {
    /// Starts at `initial`, or at the client's hint within a factor of four of it.
    pub(crate) fn new(settings: &VardiffSettings, hint: Option<u64>, now: Instant) -> Vardiff {
        let initial = settings.initial.get();
        let wished = hint.unwrap_or(initial).clamp((initial / 4).max(1), initial.saturating_mul(4));
        Vardiff { difficulty: bounded(settings, wished), since: now, shares: 0, work: 0.0 }
    }

    /// What the next job gets.
    pub(crate) fn difficulty(&self) -> Difficulty {
        self.difficulty
    }

    /// Notes an accepted share; true when the difficulty is so far off that a job should be pushed now.
    pub(crate) fn accepted(&mut self, settings: &VardiffSettings, difficulty: Difficulty, now: Instant) -> bool {
        self.shares += 1;
        self.work += difficulty.get() as f64;
        if !settings.enabled || self.shares < SHARES_MIN {
            return false;
        }
        let elapsed = now.saturating_duration_since(self.since);
        let interval = target_interval(settings);
        // Enough shares for the measurement, or far more of them than expected.
        if self.shares < settings.target_shares.get()
            && elapsed.as_secs_f64() > f64::from(self.shares) * interval / PUSH_FACTOR
        {
            return false;
        }
        self.retarget(settings, elapsed.as_secs_f64().max(0.001), now)
    }

    /// Looks without a share: silence for long makes shares easier.
    pub(crate) fn look(&mut self, settings: &VardiffSettings, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        if !settings.enabled || elapsed < settings.window || elapsed < Duration::from_secs(60) && self.shares > 0 {
            return false;
        }
        // Half a share stands for what may be about to come.
        self.work += self.difficulty.get() as f64 / 2.0;
        self.retarget(settings, elapsed.as_secs_f64(), now)
    }

    fn retarget(&mut self, settings: &VardiffSettings, elapsed: f64, now: Instant) -> bool {
        let before = self.difficulty.get() as f64;
        let ideal = self.work / elapsed * target_interval(settings);
        (self.since, self.shares, self.work) = (now, 0, 0.0);
        if (ideal / before - 1.0).abs() <= settings.tolerance {
            return false;
        }
        let step = (ideal / before).clamp(1.0 / STEP_MAX, STEP_MAX);
        self.difficulty = bounded(settings, (before * step).round() as u64);
        let factor = self.difficulty.get() as f64 / before;
        !(1.0 / PUSH_FACTOR..=PUSH_FACTOR).contains(&factor)
    }
}

fn target_interval(settings: &VardiffSettings) -> f64 {
    settings.window.as_secs_f64() / f64::from(settings.target_shares.get())
}

fn bounded(settings: &VardiffSettings, wished: u64) -> Difficulty {
    let within = wished.clamp(settings.min.get(), settings.max.get());
    Difficulty::new(within).unwrap_or(settings.initial)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a miner of this rate find evenly spaced shares for a while; returns the difficulty it ends at.
    fn mined(settings: &VardiffSettings, hashrate: f64, seconds: f64) -> u64 {
        let start = Instant::now();
        let mut vardiff = Vardiff::new(settings, None, start);
        let mut at = 0.0;
        while at < seconds {
            at += vardiff.difficulty().get() as f64 / hashrate;
            vardiff.accepted(settings, vardiff.difficulty(), start + Duration::from_secs_f64(at));
        }
        vardiff.difficulty().get()
    }

    #[test]
    fn a_steady_miner_comes_to_the_target_rate() {
        let settings = VardiffSettings::default();
        for hashrate in [2.0, 100.0, 10_000.0] {
            let ideal = hashrate * 30.0;
            let reached = mined(&settings, hashrate, 7200.0) as f64;
            assert!((0.7..=1.4).contains(&(reached / ideal)), "{hashrate} H/s: {reached}, ideal {ideal}");
        }
    }

    #[test]
    fn silence_makes_shares_easier_down_to_the_minimum() {
        let settings = VardiffSettings::default();
        let start = Instant::now();
        let mut vardiff = Vardiff::new(&settings, None, start);
        let mut at = start;
        for _ in 0..20 {
            at += settings.window;
            vardiff.look(&settings, at);
        }
        assert_eq!(vardiff.difficulty(), settings.min);
    }

    #[test]
    fn a_hint_is_taken_within_a_factor_of_four() {
        let settings = VardiffSettings::default();
        let at = |hint| Vardiff::new(&settings, Some(hint), Instant::now()).difficulty().get();
        assert_eq!((at(1), at(100), at(1_000_000)), (15, 100, 240));
    }

    #[test]
    fn a_fixed_difficulty_stays() {
        let settings = VardiffSettings { enabled: false, ..VardiffSettings::default() };
        assert_eq!(mined(&settings, 10_000.0, 600.0), 60);
    }
}
