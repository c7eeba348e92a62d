//! How long a silence is waited out before it makes shares easier.
//!
//! Some miners are away most of the time: they mine for a while now and then, and are silent in between. Who came back
//! as fast as before is given more time the next time, so that shares are not made easier and harder with every
//! absence. Only such miners are: whoever mines longer than it was away is waited for as little as any other, and so
//! is whoever sends a single share after each silence, since that is what a slow miner does.
use std::time::{Duration, Instant};

/// Most doublings; with 10 shares in 5 minutes that makes 2 h 40 min.
const DOUBLINGS_MAX: u8 = 5;
/// An absence may be so many times as long as the one before.
const LONGER: f64 = 2.0;
/// A miner is here, and not on a visit, when it has been for this part of its last absence.
const HERE: f64 = 0.5;
/// Single shares between silences that make a slow miner of one that comes and goes.
const LONE_MAX: u8 = 12;

/// What is known about the absences of a session.
#[derive(Debug)]
pub(super) struct SilenceTimeout {
    /// How often the time that a silence is given is doubled.
    doublings: u8,
    /// The last absence, and its end.
    absence: Duration,
    back_at: Instant,
    /// Shares in a row that each ended a silence.
    lone: u8,
}

impl SilenceTimeout {
    pub(super) fn new(now: Instant) -> SilenceTimeout {
        SilenceTimeout { doublings: 0, absence: Duration::ZERO, back_at: now, lone: 0 }
    }

    /// What the time that a silence is given is multiplied by.
    pub(super) fn factor(&self) -> f64 {
        f64::from(1_u16 << self.doublings)
    }

    /// A share ended a silence of this length.
    pub(super) fn came_back(&mut self, absence: Duration, now: Instant) {
        (self.absence, self.back_at) = (absence, now);
        self.lone = self.lone.saturating_add(1);
        if self.lone >= LONE_MAX {
            self.doublings = 0;
        }
    }

    /// A share came in time.
    pub(super) fn stayed(&mut self, now: Instant) {
        self.lone = 0;
        if now.saturating_duration_since(self.back_at) >= self.absence.mul_f64(HERE) {
            self.doublings = 0;
        }
    }

    /// The silence that made shares easier was an absence: the next one is given time enough, where a silence is given
    /// `given` without patience.
    pub(super) fn more(&mut self, given: Duration) {
        let enough = (LONGER * self.absence.as_secs_f64() / given.as_secs_f64()).log2().ceil();
        let enough = enough.clamp(0.0, f64::from(DOUBLINGS_MAX)) as u8;
        self.doublings = enough.max(self.doublings + 1).min(DOUBLINGS_MAX);
    }

    /// The silence was that of a slower miner.
    pub(super) fn less(&mut self) {
        self.doublings = self.doublings.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: Duration = Duration::from_secs(300);

    /// It was away so long, and came back as fast as before.
    fn absent(seconds: u64, now: Instant) -> SilenceTimeout {
        let mut patience = SilenceTimeout::new(now);
        patience.came_back(Duration::from_secs(seconds), now);
        patience.more(GIVEN);
        patience
    }

    #[test]
    fn the_next_absence_may_be_twice_as_long() {
        let now = Instant::now();
        assert_eq!([300, 780, 1980, 7200].map(|seconds| absent(seconds, now).factor()), [2.0, 8.0, 16.0, 32.0]);
        let mut patience = absent(300, now);
        patience.more(GIVEN);
        patience.less();
        assert_eq!(patience.factor(), 2.0);
    }

    #[test]
    fn who_stays_for_half_of_an_absence_is_given_no_more_time_than_others() {
        let now = Instant::now();
        let mut patience = absent(1980, now);
        patience.stayed(now + Duration::from_secs(20));
        assert_eq!(patience.factor(), 16.0);
        patience.stayed(now + Duration::from_secs(990));
        assert_eq!(patience.factor(), 1.0);
    }

    #[test]
    fn single_shares_between_silences_are_those_of_a_slow_miner() {
        let now = Instant::now();
        let mut patience = absent(1980, now);
        for _ in 0..LONE_MAX - 2 {
            patience.came_back(Duration::from_secs(600), now);
        }
        assert_eq!(patience.factor(), 16.0);
        patience.came_back(Duration::from_secs(600), now);
        assert_eq!(patience.factor(), 1.0);
    }
}
