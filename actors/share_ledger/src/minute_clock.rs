//! Which minute a share is booked to.
//!
//! Payout windows and charts go by it, and a line's segments must stand in the order of their minutes. So it never goes
//! back, over restarts either: while the clock is behind it, shares are booked to the latest minute that had any. And it
//! does not run ahead of a clock that is right again: a step forward by more than [`STEP_MAX`] is followed once it has
//! lasted for [`STEP_PATIENCE`]. Until then minutes go on from where they were. What is left is a clock that is far ahead
//! for longer than that, or when the process starts: then all shares are booked to one minute until the clock has passed
//! it, windows of that time are longer than they should be, never shorter, and a gauge says by how much it leads.
use std::time::{Duration, Instant};

use units::{Minute, Timestamp};

/// Clocks are set right in smaller steps than this all the time.
const STEP_MAX: Duration = Duration::from_secs(5 * 60);
/// A wrong clock that is noticed is set right within this.
const STEP_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Follows the clock.
pub(crate) struct BookedTime {
    latest: Minute,
    /// What the clock said when it could last be trusted, and when that was.
    trusted: Option<(Timestamp, Instant)>,
    /// Since when the clock has been further ahead than it can be.
    doubted: Option<Instant>,
    /// See [`BookedTime::behind`].
    behind: u32,
}

impl BookedTime {
    /// Never books before `latest`.
    pub(crate) fn after(latest: Minute) -> BookedTime {
        BookedTime { latest, trusted: None, doubted: None, behind: 0 }
    }

    /// The minute for shares that are written now.
    pub(crate) fn minute(&mut self, clock: Timestamp, now: Instant) -> Minute {
        let expected = self.trusted.map_or(clock, |(was, at)| was.plus(now.saturating_duration_since(at)));
        let mut time = clock;
        if clock > expected.plus(STEP_MAX) {
            let since = *self.doubted.get_or_insert(now);
            if now.saturating_duration_since(since) < STEP_PATIENCE {
                time = expected;
            } else {
                self.doubted = None;
                self.trusted = Some((clock, now));
            }
        } else {
            self.doubted = None;
            // A clock that was set back may still go forward to where it was.
            if clock.plus(STEP_MAX) >= expected {
                self.trusted = Some((clock, now));
            }
        }
        self.latest = self.latest.max(time.minute());
        // While all are booked to the latest minute, time does not go on in the books: then the clock measures it better.
        let runs_behind = self.doubted.is_some() && time.minute() == self.latest;
        self.behind = if runs_behind { clock.minute().0.saturating_sub(self.latest.0) } else { 0 };
        self.latest
    }

    /// By how many minutes booked time runs behind the clock; 0 but for a clock that leapt ahead and is doubted.
    pub(crate) fn behind(&self) -> u32 {
        self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    /// The minute that is booked to when the process has run for `ran` and the clock says `clock`, as minutes after the
    /// start.
    struct BookedRun(BookedTime, Instant);

    fn start() -> Timestamp {
        Minute(29_916_666).start()
    }

    impl BookedRun {
        fn new() -> BookedRun {
            let mut run = BookedRun(BookedTime::after(Minute(0)), Instant::now());
            assert_eq!(run.at(Duration::ZERO, start()), 0);
            run
        }

        fn at(&mut self, ran: Duration, clock: Timestamp) -> u32 {
            self.0.minute(clock, self.1 + ran).0 - start().minute().0
        }
    }

    #[test]
    fn the_minute_follows_the_clock_and_its_small_steps() {
        let mut run = BookedRun::new();
        assert_eq!(run.at(MINUTE, start().plus(MINUTE)), 1);
        assert_eq!(run.at(MINUTE, start().plus(5 * MINUTE)), 5);
        assert_eq!(run.at(2 * HOUR, start().plus(2 * HOUR)), 120);
    }

    #[test]
    fn the_minute_never_goes_back() {
        let mut run = BookedRun::new();
        assert_eq!(run.at(10 * MINUTE, start().plus(10 * MINUTE)), 10);
        assert_eq!(run.at(11 * MINUTE, start().minus(24 * HOUR)), 10);
        // And goes on at once when the clock is right again.
        assert_eq!(run.at(14 * MINUTE, start().plus(14 * MINUTE)), 14);
    }

    #[test]
    fn a_clock_that_is_far_ahead_for_a_while_is_not_followed() {
        let mut run = BookedRun::new();
        for minute in 1..15 {
            assert_eq!(run.at(minute * MINUTE, start().plus(24 * HOUR + minute * MINUTE)), minute);
            assert_eq!(run.0.behind(), 24 * 60);
        }
        assert_eq!(run.at(15 * MINUTE, start().plus(15 * MINUTE)), 15);
        assert_eq!(run.0.behind(), 0);
        // Each time anew.
        assert_eq!(run.at(16 * MINUTE, start().plus(48 * HOUR)), 16);
    }

    #[test]
    fn a_clock_that_stays_ahead_is_right_and_is_followed() {
        let mut run = BookedRun::new();
        let ahead = |minutes| start().plus(24 * HOUR + minutes * MINUTE);
        assert_eq!(run.at(MINUTE, ahead(1)), 1);
        assert_eq!(run.at(16 * MINUTE, ahead(16)), 24 * 60 + 16);
        assert_eq!(run.0.behind(), 0);
        assert_eq!(run.at(17 * MINUTE, ahead(17)), 24 * 60 + 17);
        // What was booked stays, and the clock catches up with it.
        assert_eq!(run.at(18 * MINUTE, start().plus(18 * MINUTE)), 24 * 60 + 17);
        assert_eq!(run.at(25 * HOUR, start().plus(25 * HOUR)), 25 * 60);
    }

    #[test]
    fn a_clock_that_was_behind_at_the_start_is_booked_to_the_latest_minute() {
        let mut run = BookedRun(BookedTime::after(Minute(start().minute().0 + 60)), Instant::now());
        assert_eq!(run.at(Duration::ZERO, start()), 60);
        // It is set right at once, and that is doubted: but what is booked is not behind it.
        assert_eq!((run.at(3 * MINUTE, start().plus(63 * MINUTE)), run.0.behind()), (60, 0));
        assert_eq!(run.at(61 * MINUTE, start().plus(61 * MINUTE)), 61);
    }
}
