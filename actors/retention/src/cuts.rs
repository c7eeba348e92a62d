//! How far a clean-up may go. Pure.
use std::time::Duration;

use settings::RetentionSettings;
use store::retention::{DAY, Facts};
use units::{Height, Minute, Timestamp};

/// Segments of a minute stay that long, whoever needs them: recent charts are drawn from them.
const MINUTES_KEPT: Duration = Duration::from_secs(2 * 86_400);
/// Clocks of hosts, of the daemon and of templates may differ by so much.
const SLACK: Duration = Duration::from_secs(2 * 3_600);
/// Payouts of the last so many blocks are watched, settled or not; twice that.
const PAYOUTS_WATCHED: u64 = 200;

/// Up to where what may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts {
    /// Segments before it become ten minutes; at an hour.
    pub(crate) merge: Minute,
    /// Details before it go; midnight. `None`: all are kept.
    pub(crate) details: Option<Minute>,
    /// Payouts closed before it go; midnight. `None`: all are kept.
    pub(crate) payouts: Option<Minute>,
    /// Only payouts planned below this height.
    pub(crate) payouts_below: Height,
    /// Names that had nothing but rejects, and none since then, are forgotten.
    pub(crate) idle: Minute,
    /// For how much longer than asked details are kept.
    pub(crate) held: Duration,
}

impl Cuts {
    /// `window` is that of the policy in force; a block may have an earlier one.
    pub(crate) fn of(facts: &Facts, settings: &RetentionSettings, window: Duration, now: Timestamp) -> Cuts {
        let needed = needed(facts, window.max(facts.longest_window), now);
        let wanted = settings.shares.map(|age| now.minus(age));
        let payouts = settings.payouts.map(|age| floor(now.minus(age), DAY));
        Cuts {
            merge: floor(needed.min(now.minus(MINUTES_KEPT)), 60),
            details: wanted.map(|wanted| floor(wanted.min(needed), DAY)),
            payouts,
            payouts_below: Height::new(facts.tip.get().saturating_sub(PAYOUTS_WATCHED)),
            idle: now.minus(Duration::from_secs(86_400)).minute(),
            held: wanted.map_or(Duration::ZERO, |wanted| wanted.since(needed)),
        }
    }
}

/// No block that is not final, or not known yet, has a window that begins before.
fn needed(facts: &Facts, window: Duration, now: Timestamp) -> Timestamp {
    let finds = [facts.folded_until, facts.unswept].into_iter().flatten().map(|find| find.minus(window));
    let windows = finds.chain(facts.open_window).map(|start| start.minus(SLACK));
    windows.fold(now.minus(window), Timestamp::min)
}

/// The last minute not after `at` that a multiple of `minutes` has passed at.
fn floor(at: Timestamp, minutes: u32) -> Minute {
    Minute(at.minute().0 / minutes * minutes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
    const WINDOW: Duration = Duration::from_secs(6 * 3_600);

    fn days(count: u64) -> Duration {
        Duration::from_secs(count * 86_400)
    }

    fn ago(count: u64) -> Timestamp {
        NOW.minus(days(count))
    }

    fn cuts(facts: &Facts) -> Cuts {
        Cuts::of(facts, &RetentionSettings::default(), WINDOW, NOW)
    }

    #[test]
    fn a_quiet_pool_keeps_what_was_asked_for() {
        let facts = Facts { folded_until: Some(NOW), tip: Height::new(1_000), ..Facts::default() };
        let cuts = cuts(&facts);
        assert_eq!(cuts.details, Some(floor(ago(90), DAY)));
        assert_eq!(cuts.payouts, Some(floor(ago(365), DAY)));
        assert_eq!((cuts.merge, cuts.held), (floor(ago(2), 60), Duration::ZERO));
        assert_eq!(cuts.payouts_below, Height::new(800));
    }

    #[test]
    fn open_blocks_lengthen_what_is_kept_and_shorten_nothing() {
        let open = |start| Facts { folded_until: Some(NOW), open_window: Some(start), ..Facts::default() };
        let held = cuts(&open(ago(120)));
        assert_eq!(held.details, Some(floor(ago(120).minus(SLACK), DAY)));
        assert_eq!(held.merge, floor(ago(120).minus(SLACK), 60));
        assert_eq!(held.held, days(30) + SLACK);
        assert_eq!(cuts(&open(ago(1))).details, Some(floor(ago(90), DAY)));
    }

    #[test]
    fn a_host_that_is_behind_is_waited_for() {
        let facts = Facts { folded_until: Some(ago(100)), ..Facts::default() };
        assert_eq!(cuts(&facts).details, Some(floor(ago(100).minus(WINDOW).minus(SLACK), DAY)));
    }

    #[test]
    fn blocks_that_nobody_has_looked_for_are_waited_for() {
        let facts = Facts { folded_until: Some(NOW), unswept: Some(ago(95)), ..Facts::default() };
        assert_eq!(cuts(&facts).details, Some(floor(ago(95).minus(WINDOW).minus(SLACK), DAY)));
    }

    #[test]
    fn an_earlier_policy_may_have_had_a_longer_window() {
        let facts = Facts { folded_until: Some(NOW), longest_window: days(120), ..Facts::default() };
        assert_eq!(cuts(&facts).details, Some(floor(ago(120).minus(SLACK), DAY)));
    }

    #[test]
    fn what_is_blank_is_kept() {
        let facts = Facts { folded_until: Some(NOW), ..Facts::default() };
        let blank = RetentionSettings { shares: None, payouts: None, ..RetentionSettings::default() };
        let cuts = Cuts::of(&facts, &blank, WINDOW, NOW);
        assert_eq!((cuts.details, cuts.payouts, cuts.held), (None, None, Duration::ZERO));
    }

    proptest! {
        #[test]
        fn no_cut_is_after_anything_that_needs_details(
            folded in 0..400u64, open in 0..400u64, unswept in 0..400u64, kept in 1..100_000u64,
        ) {
            let facts = Facts {
                folded_until: Some(ago(folded)),
                open_window: Some(ago(open)),
                unswept: Some(ago(unswept)),
                ..Facts::default()
            };
            let age = Duration::from_secs(kept);
            let settings = RetentionSettings { shares: Some(age), ..RetentionSettings::default() };
            let cuts = Cuts::of(&facts, &settings, WINDOW, NOW);
            for cut in [cuts.merge, cuts.details.unwrap()] {
                prop_assert!(cut <= ago(open).minute());
                prop_assert!(cut <= ago(unswept).minus(WINDOW).minute());
                prop_assert!(cut <= ago(folded).minus(WINDOW).minute());
            }
            prop_assert!(cuts.details.unwrap() <= NOW.minus(age).minute());
            prop_assert!(cuts.details.unwrap().0.is_multiple_of(DAY) && cuts.merge.0.is_multiple_of(60));
        }
    }
}
