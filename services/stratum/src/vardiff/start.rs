//! The difficulty that a session starts with: what was measured before, bounded wishes of the client.
use std::time::Duration;

use settings::VardiffSettings;
use units::Difficulty;

/// A hint is taken as it is for so long ...
const FRESH: Duration = Duration::from_secs(3600);
/// ... and counts for nothing from here on.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// How far a client's wish, or a measurement made elsewhere, may be from what is known, either way.
const WISH_FACTOR: u64 = 4;
/// Shares that a fresh hint is worth as evidence.
const HINT_SHARES: f64 = 24.0;

/// What an earlier session of the same address and worker measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) difficulty: Difficulty,
    pub(crate) age: Duration,
    /// Whether it connects from where that was measured. Anybody may mine under any name, so a measurement from
    /// elsewhere is only a wish.
    pub(crate) same_origin: bool,
}

/// Where a session starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// What the first job gets.
    pub(crate) difficulty: Difficulty,
    /// What is known: measured, or the initial difficulty. Wishes are bounded by it and never become part of it, so
    /// that they cannot add up over reconnects.
    pub(super) base: Difficulty,
    /// How much of `base` was measured, 0 to 1.
    weight: f64,
}

impl Start {
    /// From what was measured before and what the client wishes.
    pub(crate) fn new(settings: &VardiffSettings, known: Option<Known>, wish: Option<u64>) -> Start {
        let initial = settings.initial;
        let known = known.filter(|known| settings.enabled && known.age < FORGOTTEN);
        let (base, weight) = known.map_or((initial, 0.0), |known| {
            let (aged, weight) = aged(initial.get(), &known);
            if known.same_origin { (within(settings, aged), weight) } else { (near(settings, aged, initial), 0.0) }
        });
        let difficulty = wish.map_or(base, |wish| near(settings, wish, base));
        Start { difficulty, base, weight }
    }

    /// How many shares the knowledge is worth.
    pub(super) fn known_shares(&self) -> f64 {
        HINT_SHARES * self.weight
    }
}

/// The hint, moved towards the initial difficulty as it grows old; and how much of it is left.
fn aged(initial: u64, known: &Known) -> (u64, f64) {
    let fading = (FORGOTTEN - FRESH).as_secs();
    let past = known.age.saturating_sub(FRESH).as_secs().min(fading);
    let (left, past) = (u128::from(fading - past), u128::from(past));
    let blend = (u128::from(known.difficulty.get()) * left + u128::from(initial) * past) / u128::from(fading);
    (u64::try_from(blend).unwrap_or(u64::MAX), left as f64 / fading as f64)
}

/// `wished`, but not further from `base` than a wish may be.
fn near(settings: &VardiffSettings, wished: u64, base: Difficulty) -> Difficulty {
    let (low, high) = (base.get() / WISH_FACTOR, base.get().saturating_mul(WISH_FACTOR));
    within(settings, wished.clamp(low, high))
}

fn within(settings: &VardiffSettings, wished: u64) -> Difficulty {
    Difficulty::new(wished.clamp(settings.min.get(), settings.max.get())).unwrap_or(settings.initial)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn known(difficulty: u64, age_secs: u64, same_origin: bool) -> Option<Known> {
        let difficulty = Difficulty::new(difficulty).unwrap();
        Some(Known { difficulty, age: Duration::from_secs(age_secs), same_origin })
    }

    fn start(known: Option<Known>, wish: Option<u64>) -> u64 {
        Start::new(&VardiffSettings::default(), known, wish).difficulty.get()
    }

    #[test]
    fn a_hint_is_fresh_for_an_hour_and_fades_to_the_initial_difficulty_within_a_day() {
        let at = |age| start(known(300_000, age, true), None);
        assert_eq!([at(0), at(HOUR), at(24 * HOUR), at(100 * HOUR)], [300_000, 300_000, 60, 60]);
        assert_eq!(at(25 * HOUR / 2), 150_030, "half way");
        let slow = |age| start(known(2, age, true), None);
        assert_eq!([slow(HOUR), slow(25 * HOUR / 2), slow(23 * HOUR)], [2, 31, 57]);
    }

    #[test]
    fn a_wish_is_granted_within_a_factor_of_four_of_what_is_known() {
        assert_eq!([1, 15, 100, 240, u64::MAX].map(|wish| start(None, Some(wish))), [15, 15, 100, 240, 240]);
        let hinted = known(1000, 0, true);
        assert_eq!([0, 600, u64::MAX].map(|wish| start(hinted, Some(wish))), [250, 600, 4000]);
    }

    #[test]
    fn wishes_do_not_add_up_over_reconnects() {
        // A session that measured nothing leaves no hint, so the next one is bounded by the same numbers.
        for _ in 0..5 {
            assert_eq!(start(None, Some(1)), 15);
            assert_eq!(start(known(1000, 0, true), Some(u64::MAX)), 4000);
        }
    }

    #[test]
    fn a_measurement_from_elsewhere_is_only_a_wish() {
        assert_eq!(start(known(1_000_000, 0, false), None), 240);
        assert_eq!(start(known(1, 0, false), None), 15);
        assert_eq!(start(known(100, 0, false), None), 100);
    }

    #[test]
    fn the_settings_bound_everything_and_switch_hints_off() {
        let bound = |min, max| VardiffSettings {
            min: Difficulty::new(min).unwrap(),
            max: Difficulty::new(max).unwrap(),
            ..VardiffSettings::default()
        };
        assert_eq!(Start::new(&bound(40, 100), known(1_000_000, 0, true), None).difficulty.get(), 100);
        assert_eq!(Start::new(&bound(40, 100), None, Some(1)).difficulty.get(), 40);
        let off = VardiffSettings { enabled: false, ..VardiffSettings::default() };
        assert_eq!(Start::new(&off, known(1_000_000, 0, true), None).difficulty.get(), 60);
    }
}
