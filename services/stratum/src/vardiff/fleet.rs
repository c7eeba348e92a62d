//! What the controller promises to a fleet of simulated miners.
//!
//! `cargo test -p stratum fleet -- --nocapture` prints the table.
use super::simulation::*;
use super::*;

/// What is promised for miners that neither come nor go.
fn assert_settled(name: &str, ours: &Figures, theirs: &Figures) {
    assert!(ours.overshoot < 2.5, "{name}: {ours:?}");
    assert!(ours.near.0 > 0.85 && ours.near.1 > 0.98, "{name}: {ours:?}");
    assert!((0.9..1.1).contains(&ours.shares) && ours.fano < 1.5, "{name}: {ours:?}");
    assert!(ours.changes < 0.75 && ours.pushes < 0.25, "{name}: {ours:?}");
    // Beside the baseline: a hundred times fewer jobs pushed, and nearer to the target.
    assert!(ours.pushes * 100.0 < theirs.pushes && ours.fano < theirs.fano, "{name}: {ours:?} {theirs:?}");
    assert!(ours.near.0 > 2.0 * theirs.near.0, "{name}: {ours:?} {theirs:?}");
}

fn assert_steady(miner: Miner<'_>, median: f64, nine_of_ten: f64) {
    let (ours, theirs) = compare(&VardiffSettings::default(), &miner, 0.0, miner.seconds);
    assert_settled(miner.name, &ours, &theirs);
    assert!(ours.to_target.0 <= median && ours.to_target.1 <= nine_of_ten, "{}: {ours:?}", miner.name);
    assert!(ours.limited < 1.0, "{}: shares were refused: {ours:?}", miner.name);
}

#[test]
fn a_small_board_is_served_within_half_an_hour() {
    // It finds a share a minute at the initial difficulty: more cannot be known sooner.
    assert_steady(Miner { name: "1 H/s board", phases: &[(0.0, 1.0)], ..STEADY }, 1200.0, 2400.0);
}

#[test]
fn a_miner_that_starts_right_stays_there() {
    assert_steady(Miner { name: "2 H/s board", phases: &[(0.0, 2.0)], ..STEADY }, 0.0, 0.0);
}

#[test]
fn a_rig_is_served_within_half_a_minute() {
    assert_steady(Miner { name: "100 H/s rig", phases: &[(0.0, 100.0)], ..STEADY }, 30.0, 300.0);
}

#[test]
fn a_farm_is_served_within_a_minute() {
    assert_steady(Miner { name: "10 kH/s farm", phases: &[(0.0, 10_000.0)], ..STEADY }, 60.0, 1500.0);
}

/// A miner that nothing is known about, near and far away.
fn starts(name: &'static str, speed: f64, initial: u64, rate_max: u32) -> [Cost; 2] {
    let settings = VardiffSettings { initial: Difficulty::new(initial).unwrap(), ..VardiffSettings::default() };
    let phases = [(0.0, speed)];
    [0.0, 0.4].map(|delay| cost(&settings, &Miner { name, phases: &phases, delay, seconds: 60.0, rate_max, ..STEADY }))
}

#[test]
fn a_fast_miner_that_nothing_is_known_about_loses_no_share_to_the_submit_limit() {
    for cost in [
        starts("start, 1 kH/s", 1e3, 60, 120),
        starts("start, 10 kH/s", 1e4, 60, 120),
        starts("start, 100 kH/s", 1e5, 60, 120),
        starts("start, 1 kH/s", 1e3, 5, 120),
    ] {
        assert!(cost.iter().all(|cost| cost.shares == 0.0), "{cost:?}");
    }
}

#[test]
fn what_no_surplus_is_enough_for_is_lost_for_seconds_and_not_for_the_window() {
    for (cost, seconds) in [
        (starts("start, 10 kH/s", 1e4, 5, 120), 1.0),
        (starts("start, 100 kH/s", 1e5, 5, 120), 2.0),
        (starts("start, 1 MH/s", 1e6, 60, 120), 2.0),
        (starts("start, 10 kH/s", 1e4, 60, 10), 5.0),
        (starts("start, 100 kH/s", 1e5, 60, 10), 5.0),
    ] {
        assert!(cost.iter().all(|cost| cost.seconds < seconds), "{cost:?}");
    }
}

#[test]
fn a_proxy_with_many_rigs_is_served_like_one() {
    let proxy = Miner { name: "proxy, 50 x 20 H/s", phases: &[(0.0, 1000.0)], delay: 2.0, ..STEADY };
    assert_steady(proxy, 60.0, 600.0);
}

#[test]
fn dev_fee_gaps_of_a_miner_are_not_taken_for_slowness() {
    let gaps = |period, name| Miner { name, phases: &[(0.0, 100.0)], bursts: Some((-20.0, period)), ..STEADY };
    assert_steady(gaps(800.0, "gaps, 20 of 800 s"), 60.0, 300.0);
    assert_steady(gaps(2000.0, "gaps, 20 of 2000 s"), 60.0, 300.0);
}

#[test]
fn bursts_in_long_silences_find_the_difficulty_they_left() {
    let bursts = |period, name| Miner { name, phases: &[(0.0, 100.0)], bursts: Some((20.0, period)), ..STEADY };
    // Two thirds of a share per burst at the difficulty of its speed: some silences are long, and every change is a push.
    for (burst, changes) in [(bursts(800.0, "bursts, 20 of 800 s"), 2.0), (bursts(2000.0, "bursts, 20 of 2000 s"), 3.5)]
    {
        let (ours, _) = compare(&VardiffSettings::default(), &burst, 0.0, burst.seconds);
        assert!(ours.changes < changes && ours.overshoot < 4.0, "{}: {ours:?}", burst.name);
        assert!(ours.pushes < 0.5, "{}: {ours:?}", burst.name);
    }
}

#[test]
fn a_miner_that_was_away_once_is_not_waited_for_when_it_becomes_slow() {
    let was_away = |slow| [(0.0, 1000.0), (2.0 * HOUR, 0.0), (4.0 * HOUR, 1000.0), (6.0 * HOUR, slow)];
    for (name, slow) in [("away, then 100 H/s", 100.0), ("away, then 30 H/s", 30.0), ("away, then 1 H/s", 1.0)] {
        let slow = Miner { name, phases: &was_away(slow), seconds: 14.0 * HOUR, ..STEADY };
        let (ours, _) = compare(&VardiffSettings::default(), &slow, 6.0 * HOUR, slow.seconds);
        assert!(ours.to_target.0 <= 0.6 * HOUR && ours.to_target.1 <= HOUR, "{name}: {ours:?}");
    }
}

#[test]
fn a_rented_burst_is_followed_up_and_down() {
    let phases = &[(0.0, 100.0), (2.0 * HOUR, 5000.0), (4.0 * HOUR, 100.0)];
    let rental = Miner { name: "rental, before", phases, ..STEADY };
    let settings = VardiffSettings::default();
    compare(&settings, &rental, 0.0, 2.0 * HOUR);
    let (burst, _) = compare(&settings, &Miner { name: "rental, 50 x", ..rental }, 2.0 * HOUR, 4.0 * HOUR);
    assert!(burst.to_target.0 <= 60.0 && burst.overshoot < 2.0 && burst.early < 3.0, "{burst:?}");
    let (after, theirs) = compare(&settings, &Miner { name: "rental, after", ..rental }, 4.0 * HOUR, 8.0 * HOUR);
    assert!(after.to_target.1 <= HOUR && after.near.1 > 0.98, "{after:?}");
    assert!(theirs.near.1 < 0.5, "the baseline is stuck: {theirs:?}");
}

#[test]
fn a_sleeper_finds_its_difficulty_again_at_once() {
    let phases = &[(0.0, 1000.0), (2.0 * HOUR, 0.0), (4.0 * HOUR, 1000.0)];
    let sleeper = Miner { name: "sleeper, back", phases, ..STEADY };
    let (ours, _) = compare(&VardiffSettings::default(), &sleeper, 4.0 * HOUR, 8.0 * HOUR);
    assert!(ours.to_target.0 <= 5.0 && ours.early < 2.0 && ours.limited < 20.0, "{ours:?}");
}

#[test]
fn a_farm_that_shrinks_a_thousandfold_is_not_stuck() {
    let shrunk = Miner { name: "10 kH/s, then 10 H/s", phases: &[(0.0, 10_000.0), (2.0 * HOUR, 10.0)], ..STEADY };
    let (ours, theirs) = compare(&VardiffSettings::default(), &shrunk, 2.0 * HOUR, 8.0 * HOUR);
    assert!(ours.to_target.1 <= HOUR && ours.near.1 > 0.98, "{ours:?}");
    assert!(theirs.near.1 < 0.01, "the baseline is stuck: {theirs:?}");
}

#[test]
fn a_miner_that_halves_or_doubles_is_followed_within_an_hour() {
    let change = |phases, name| Miner { name, phases, ..STEADY };
    for miner in [
        change(&[(0.0, 1000.0), (2.0 * HOUR, 500.0)], "halves"),
        change(&[(0.0, 500.0), (2.0 * HOUR, 1000.0)], "doubles"),
    ] {
        let (ours, _) = compare(&VardiffSettings::default(), &miner, 2.0 * HOUR, 8.0 * HOUR);
        assert!(ours.to_target.0 <= 0.5 * HOUR && ours.to_target.1 <= HOUR, "{}: {ours:?}", miner.name);
        assert!(ours.near.0 > 0.85 && ours.pushes < 0.25, "{}: {ours:?}", miner.name);
    }
}

#[test]
fn the_devnet_preset_settles_in_seconds() {
    let settings = VardiffSettings {
        initial: Difficulty::new(5).unwrap(),
        window: Duration::from_secs(20),
        ..VardiffSettings::default()
    };
    let miner = |phases, name, bursts| Miner { name, phases, bursts, seconds: 2.0 * HOUR, ..STEADY };
    for miner in [
        miner(&[(0.0, 200.0)], "devnet, 200 H/s", None),
        miner(&[(0.0, 5000.0)], "devnet, 5 kH/s", None),
        miner(&[(0.0, 200.0)], "devnet, gaps", Some((-20.0, 800.0))),
    ] {
        let (ours, theirs) = compare(&settings, &miner, 0.0, miner.seconds);
        // It begins with a gap where there are gaps; 5 kH/s are over the rate limit at first.
        let begins_at = if miner.bursts.is_some() { 20.0 } else { 0.0 };
        assert!(ours.to_target.0 <= begins_at + 20.0 && ours.near.1 > 0.98, "{}: {ours:?}", miner.name);
        assert!(ours.changes * 20.0 < theirs.changes, "{}: {ours:?} {theirs:?}", miner.name);
    }
}
