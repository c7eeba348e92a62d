//! Who is checked how often.
use rand::SeedableRng;
use rand::rngs::StdRng;
use units::Minute;

use super::*;

const WINDOW: Duration = Duration::from_secs(6 * 3600);
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const EASY: Difficulty = Difficulty::new(15).unwrap();
const HARD: Difficulty = Difficulty::new(240).unwrap();

fn rules(settings: &ValidationSettings) -> SamplingRules {
    SamplingRules::new(settings, WINDOW)
}

/// The stake rule alone.
fn bare_rules() -> SamplingRules {
    let nothing =
        ValidationSettings { sample_rate: 0.0, warmup_shares: 0, min_sample_every: 0, ..ValidationSettings::default() };
    rules(&nothing)
}

fn checked(rules: &SamplingRules, trust: &mut Trust, difficulty: Difficulty, shares: u32) -> u32 {
    let mut random = StdRng::seed_from_u64(7);
    (0..shares).map(|_| u32::from(trust.draw(difficulty, rules, &mut random, NOW).is_some())).sum()
}

/// A pair with so many verified shares.
fn proven(rules: &SamplingRules, difficulty: Difficulty, shares: u64) -> Trust {
    let mut trust = Trust::default();
    (0..shares).for_each(|_| trust.earn(difficulty, NOW, rules));
    trust
}

#[test]
fn every_share_is_checked_until_the_warm_up_is_under_way() {
    let settings = ValidationSettings { sample_rate: 0.0, min_sample_every: 0, ..ValidationSettings::default() };
    let rules = rules(&settings);
    let mut trust = Trust::default();
    trust.stake.add(u64::MAX >> 1, NOW, rules.window);
    for under_way in 0..20 {
        trust.under_way = under_way;
        assert_eq!(checked(&rules, &mut trust, EASY, 1), 1);
    }
    trust.under_way = 20;
    assert_eq!(checked(&rules, &mut trust, EASY, 1000), 0);
    assert!(!trust.is_trusted(&rules), "under way is not verified");
}

#[test]
fn every_share_is_checked_until_some_are_verified_however_many_are_under_way() {
    let rules = bare_rules();
    let mut trust = Trust { under_way: 1000, ..Trust::default() };
    assert_eq!(checked(&rules, &mut trust, EASY, 100), 100);
    trust.earn(EASY, NOW, &rules);
    trust.earn(EASY, NOW, &rules);
    assert_eq!(checked(&rules, &mut trust, EASY, 100), 100, "the stake is two shares");
    trust.earn(EASY, NOW, &rules);
    assert!(checked(&rules, &mut trust, EASY, 100) < 100);
}

#[test]
fn easy_shares_are_no_stake_for_hard_ones() {
    let rules = bare_rules();
    let mut trust = proven(&rules, EASY, 21);
    assert!(checked(&rules, &mut trust, EASY, 10_000) < 1_200, "one in ten of the same difficulty");
    assert_eq!(checked(&rules, &mut trust, HARD, 100), 100, "21 * 15 is less than twice 240");
    let mut trust = proven(&rules, EASY, 320);
    let checks = checked(&rules, &mut trust, HARD, 10_000);
    assert!((1_000..1_200).contains(&checks), "twenty hard shares are at stake: {checks}");
}

#[test]
fn a_stake_that_is_almost_paid_out_is_worth_little() {
    let rules = bare_rules();
    let mut trust = proven(&rules, EASY, 1000);
    let later = NOW.plus(WINDOW * 9 / 10);
    assert!(trust.chance(EASY, &rules, later) > CheckChance::from_rate(0.02));
    assert!(trust.chance(EASY, &rules, NOW) < CheckChance::from_rate(0.0025));
    assert_eq!(trust.chance(EASY, &rules, NOW.plus(WINDOW)), CheckChance::CERTAIN);
}

#[test]
fn a_trusted_pair_is_sampled_at_about_the_rate_of_both_rules() {
    let rules = rules(&ValidationSettings::default());
    let mut trust = proven(&rules, EASY, 30);
    let checks = checked(&rules, &mut trust, EASY, 100_000);
    assert!((15_000..20_000).contains(&checks), "{checks}");
}

#[test]
fn a_full_check_leaves_nothing_to_chance() {
    let rules = rules(&ValidationSettings { mode: ValidationMode::Full, ..ValidationSettings::default() });
    assert_eq!(checked(&rules, &mut proven(&rules, EASY, 1000), EASY, 100), 100);
}

#[test]
fn a_retarget_does_not_end_trust_and_a_false_share_does() {
    let rules = rules(&ValidationSettings::default());
    let mut pairs = TrustTable::new(rules, Arc::default());
    *pairs.touch(&pair(0), NOW) = proven(&rules, EASY, 20);
    assert!(pairs.touch(&pair(0), NOW).is_trusted(&rules));
    assert_eq!(pairs.touch(&pair(0), NOW).chance(HARD, &rules, NOW), CheckChance::CERTAIN);
    assert!(pairs.touch(&pair(0), NOW).is_trusted(&rules), "at whatever difficulty it goes on");
    pairs.distrust(&pair(0));
    let trust = pairs.touch(&pair(0), NOW);
    assert!(!trust.is_trusted(&rules) && trust.stake == Stake::default());
}

#[test]
fn a_false_share_costs_twice_its_difficulty_over_its_chance_and_all_while_checks_are_given_up() {
    let rules = rules(&ValidationSettings::default());
    let mut pairs = TrustTable::new(rules, Arc::default());
    *pairs.touch(&pair(0), NOW) = proven(&rules, EASY, 1000);
    let price = |pairs: &mut TrustTable, now| {
        let trust = pairs.touch(&pair(0), now);
        let chance = trust.chance(EASY, &rules, NOW);
        trust.price(chance, EASY, &rules, now).map(Work::get)
    };
    assert_eq!(price(&mut pairs, NOW), Some(299), "at a chance just above 0.1");
    pairs.forgone(&pair(0), NOW);
    assert_eq!(price(&mut pairs, NOW), None);
    assert_eq!(price(&mut pairs, NOW.plus(WINDOW)), Some(299), "what was given up is paid by now");
}

fn pair(n: usize) -> TrustKey {
    (n.to_string().into(), Origin([0; 16]))
}

#[test]
fn a_flood_of_new_pairs_neither_grows_the_memory_nor_pushes_trusted_ones_out() {
    let mut pairs = TrustTable::new(rules(&ValidationSettings::default()), Arc::default());
    pairs.touch(&pair(0), Timestamp::from_ms(0)).verified = 20;
    for n in 1..2 * PAIRS_MAX {
        pairs.touch(&pair(n), Timestamp::from_ms(n as i64));
    }
    assert!(pairs.len() <= PAIRS_MAX);
    assert_eq!(pairs.touch(&pair(0), Timestamp::from_ms(0)).verified, 20);
    assert_eq!(pairs.touch(&pair(2 * PAIRS_MAX), Timestamp::from_ms(0)).verified, 0, "a new one fits");
}

fn known(n: usize, last: Minute) -> KnownPair {
    KnownPair {
        address: n.to_string(),
        origin: [0; 16],
        verified: 30,
        last,
        work: (0..30).map(|_| (last, EASY)).collect(),
    }
}

#[test]
fn what_is_not_seen_for_a_day_is_forgotten() {
    let rules = rules(&ValidationSettings::default());
    let mut pairs = TrustTable::with_known(rules, Arc::default(), &[known(0, Minute(10))], |_| true);
    assert_eq!(pairs.len(), 1);
    pairs.prune(Minute(10).start().plus(FORGET_AFTER / 2));
    assert!(pairs.touch(&pair(0), Minute(10).start()).is_trusted(&rules));
    pairs.prune(Minute(10).start().plus(FORGET_AFTER));
    assert_eq!(pairs.len(), 0);
}

#[test]
fn what_the_books_know_is_a_stake_by_its_age_and_only_of_those_without_a_strike() {
    let rules = rules(&ValidationSettings::default());
    let stored = [known(0, NOW.minute()), known(1, NOW.minus(WINDOW / 2).minute()), known(2, NOW.minute())];
    let mut pairs = TrustTable::with_known(rules, Arc::default(), &stored, |key| *key != pair(2));
    let mut worth = |n| pairs.touch(&pair(n), NOW).stake.worth(NOW, rules.window);
    assert!((390..=450).contains(&worth(0)), "{}", worth(0));
    assert!((190..=225).contains(&worth(1)), "{}", worth(1));
    assert_eq!(worth(2), 0);
}
