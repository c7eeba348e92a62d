//! Who gets what of a block.
#![expect(clippy::unwrap_used, reason = "a case that cannot be built fails its test")]

use accounting::{Allocation, Basis, MinerWork, Rules, Scheme, allocate};
use proptest::prelude::*;
use units::{Amount, BasisPoints, Work};

fn atoms(number: u64) -> Amount {
    Amount::from_atoms(number).unwrap()
}

fn bps(points: u64) -> BasisPoints {
    BasisPoints::new(points).unwrap()
}

fn work<K>(key: K, verified: u64, provisional: u64) -> MinerWork<K> {
    MinerWork { key, verified: Work::new(verified).unwrap(), provisional: Work::new(provisional).unwrap() }
}

const REWARD: u64 = 52_967_845_303;

/// A flat fee of a quarter coin, 1 %, a bonus of 5 % for the finder, provisional work up to 19 times the verified.
fn rules() -> Rules {
    Rules {
        scheme: Scheme::Pplns,
        fee_bps: bps(100),
        fee_flat: "0.25".parse().unwrap(),
        finder_bonus_bps: bps(500),
        provisional_cap_multiplier: Some(19),
    }
}

/// A below its cap, B above, C without any verified work, D whose provisional work was voided, E small.
fn works() -> Vec<MinerWork<&'static str>> {
    vec![work("A", 2_400, 9_000), work("B", 300, 9_000), work("C", 0, 3_000), work("D", 1_600, 0), work("E", 60, 0)]
}

fn credits(allocation: &Allocation<&str>) -> Vec<(String, u64, u64)> {
    let lines = allocation.lines.iter();
    lines.map(|line| (line.key.to_owned(), line.from_weight.atoms(), line.bonus.atoms())).collect()
}

#[test]
fn the_worked_example_is_reproduced_to_the_atom() {
    let allocation = allocate(atoms(REWARD), Some(&"B"), &works(), &rules()).unwrap();
    assert_eq!(allocation.fee.atoms(), 554_428_453);
    assert_eq!(allocation.basis, Basis::Weight);
    let expected = [
        ("A", 29_781_600_447, 0),
        ("B", 15_674_526_550, 2_620_670_842),
        ("D", 4_179_873_746, 0),
        ("E", 156_745_265, 0),
        ("C", 0, 0),
    ];
    assert_eq!(credits(&allocation), expected.map(|(key, share, bonus)| (key.to_owned(), share, bonus)));
    assert_eq!(allocation.lines[1].credit.atoms(), 18_295_197_392);
    let by_weight: Vec<u64> = allocation.lines.iter().map(|line| line.weight.get()).collect();
    assert_eq!(by_weight, [11_400, 6_000, 1_600, 60, 0]);
    let total: u64 = allocation.lines.iter().map(|line| line.credit.atoms()).sum();
    assert_eq!(total, 52_413_416_850);
}

/// What the reward is split by, by miner; those without weight are left out.
fn weights(works: &[MinerWork<&'static str>], rules: &Rules) -> Vec<(&'static str, u64)> {
    let lines = allocate(atoms(REWARD), None, works, rules).unwrap().lines.into_iter();
    let mut weights: Vec<_> =
        lines.map(|line| (line.key, line.weight.get())).filter(|(_, weight)| *weight > 0).collect();
    weights.sort_unstable();
    weights
}

#[test]
fn without_a_cap_provisional_work_counts_in_full() {
    let uncapped = Rules { provisional_cap_multiplier: None, ..rules() };
    let expected = [("A", 11_400), ("B", 9_300), ("C", 3_000), ("D", 1_600), ("E", 60)];
    assert_eq!(weights(&works(), &uncapped), expected);
    let none_counts = Rules { provisional_cap_multiplier: Some(0), ..rules() };
    assert_eq!(weights(&works(), &none_counts), [("A", 2_400), ("B", 300), ("D", 1_600), ("E", 60)]);
}

#[test]
fn a_cap_belongs_to_each_origin_of_an_address() {
    // The second origin proved nothing: it cannot borrow the trust of the first.
    let two_origins = [work("A", 100, 100), work("A", 0, 10_000)];
    assert_eq!(weights(&two_origins, &rules()), [("A", 200)]);
}

#[test]
fn a_window_without_counting_work_pays_the_finder() {
    for works in [vec![], vec![work("C", 0, 3_000)]] {
        let allocation = allocate(atoms(REWARD), Some(&"F"), &works, &rules()).unwrap();
        assert_eq!(allocation.basis, Basis::Finder);
        let finder = allocation.lines.iter().find(|line| line.key == "F").unwrap();
        assert_eq!(finder.credit.atoms(), 52_413_416_850);
        assert_eq!(allocation.unallocated, Amount::ZERO);
    }
}

#[test]
fn a_window_without_counting_work_and_finder_keeps_the_reward_visible() {
    let allocation = allocate::<&str>(atoms(REWARD), None, &[], &rules()).unwrap();
    assert_eq!(allocation.basis, Basis::Nobody);
    assert_eq!(allocation.unallocated.atoms(), 52_413_416_850);
    assert!(allocation.lines.is_empty());
}

#[test]
fn a_block_without_finder_pays_no_bonus() {
    let allocation = allocate(atoms(REWARD), None, &works(), &rules()).unwrap();
    assert_eq!(allocation.basis, Basis::Weight);
    assert!(allocation.lines.iter().all(|line| line.bonus.is_zero()));
}

#[test]
fn a_solo_pool_pays_the_finder_alone() {
    let solo = Rules { scheme: Scheme::Solo, ..rules() };
    let allocation = allocate(atoms(REWARD), Some(&"B"), &works(), &solo).unwrap();
    let paid: Vec<&str> = allocation.lines.iter().filter(|line| !line.credit.is_zero()).map(|line| line.key).collect();
    assert_eq!(paid, ["B"]);
}

#[test]
fn the_fee_is_never_more_than_the_reward() {
    let greedy = Rules { fee_flat: atoms(u64::from(u32::MAX)), fee_bps: bps(10_000), ..rules() };
    assert_eq!(greedy.fee(atoms(1_000)), atoms(1_000));
    let allocation = allocate(atoms(1_000), Some(&"A"), &works(), &greedy).unwrap();
    assert!(allocation.lines.iter().all(|line| line.credit.is_zero()));
}

#[test]
fn the_digest_covers_rules_finder_and_work() {
    let digest = |finder, works: &[_], rules: &_| allocate(atoms(REWARD), finder, works, rules).unwrap().digest_hex();
    let first = digest(Some(&"B"), &works(), &rules());
    assert_eq!(first, digest(Some(&"B"), &works(), &rules()));
    assert_ne!(first, digest(Some(&"A"), &works(), &rules()));
    assert_ne!(first, digest(None, &works(), &rules()));
    assert_ne!(first, digest(Some(&"B"), &works()[1..], &rules()));
    assert_ne!(first, digest(Some(&"B"), &works(), &Rules { fee_bps: bps(101), ..rules() }));
}

#[test]
fn work_beyond_every_number_is_an_error_that_names_the_miner() {
    let endless = [work("A", u64::MAX >> 1, 1)];
    let refused = allocate(atoms(REWARD), None, &endless, &rules()).unwrap_err();
    assert_eq!(refused.to_string(), "work of A is beyond the largest number");
}

#[test]
fn rules_are_stored_as_json_and_read_back() {
    let json = serde_json::to_string(&rules()).unwrap();
    assert_eq!(
        json,
        r#"{"scheme":"pplns","fee_bps":100,"fee_flat":"0.25000000","finder_bonus_bps":500,"provisional_cap_multiplier":19}"#
    );
    assert_eq!(serde_json::from_str::<Rules>(&json).unwrap(), rules());
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let scheme = prop_oneof![Just(Scheme::Pplns), Just(Scheme::Proportional), Just(Scheme::Solo)];
    let cap = prop::option::of(prop_oneof![0_u64..40, Just(u64::MAX)]);
    (scheme, 0_u64..=10_000, 0_u64..1 << 40, 0_u64..=10_000, cap).prop_map(|(scheme, fee, flat, bonus, cap)| Rules {
        scheme,
        fee_bps: bps(fee),
        fee_flat: atoms(flat),
        finder_bonus_bps: bps(bonus),
        provisional_cap_multiplier: cap,
    })
}

fn any_works() -> impl Strategy<Value = Vec<MinerWork<u8>>> {
    prop::collection::vec((any::<u8>(), 0_u64..1 << 50, 0_u64..1 << 50), 0..40)
        .prop_map(|works| works.into_iter().map(|(key, verified, other)| work(key % 20, verified, other)).collect())
}

proptest! {
    #[test]
    fn credits_fee_and_rest_are_the_reward_under_all_rules(
        reward in 0..=Amount::MAX.atoms(), finder in prop::option::of(0_u8..30), works in any_works(), rules in any_rules(),
    ) {
        let allocation = allocate(atoms(reward), finder.as_ref(), &works, &rules).unwrap();
        let credited: u64 = allocation.lines.iter().map(|line| line.credit.atoms()).sum();
        prop_assert_eq!(credited + allocation.fee.atoms() + allocation.unallocated.atoms(), reward);
        prop_assert!(allocation.lines.iter().all(|line| line.credit == line.from_weight.checked_add(line.bonus).unwrap()));
        prop_assert!(allocation.lines.iter().all(|line| line.bonus.is_zero() || Some(line.key) == finder));
        let mut keys: Vec<u8> = allocation.lines.iter().map(|line| line.key).collect();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), allocation.lines.len(), "one line per miner");
    }

    #[test]
    fn the_order_in_which_work_is_listed_changes_nothing(
        works in any_works(), rules in any_rules(), finder in prop::option::of(0_u8..30), turn in 0_usize..40,
    ) {
        let mut turned = works.clone();
        turned.reverse();
        turned.rotate_left(turn % works.len().max(1));
        let first = allocate(atoms(REWARD), finder.as_ref(), &works, &rules).unwrap();
        let second = allocate(atoms(REWARD), finder.as_ref(), &turned, &rules).unwrap();
        prop_assert_eq!(first, second);
    }

    #[test]
    fn all_but_the_first_line_get_the_floor_of_their_part(works in any_works(), rules in any_rules()) {
        let allocation = allocate(atoms(REWARD), None, &works, &rules).unwrap();
        prop_assume!(allocation.basis == Basis::Weight);
        let total: u128 = allocation.lines.iter().map(|line| u128::from(line.weight.get())).sum();
        let pot = u128::from(REWARD - allocation.fee.atoms());
        for line in allocation.lines.iter().skip(1) {
            let floor = pot * u128::from(line.weight.get()) / total;
            prop_assert_eq!(u128::from(line.from_weight.atoms()), floor);
        }
    }

    #[test]
    fn more_verified_work_never_weighs_less(verified in 0_u64..1 << 40, more in 0_u64..1 << 40, other in 0_u64..1 << 50) {
        let weight = |verified| {
            let lines = weights(&[work("A", verified, other)], &rules());
            lines.first().map_or(0, |(_, weight)| *weight)
        };
        prop_assert!(weight(verified) <= weight(verified + more));
        prop_assert!(weight(verified) <= verified.saturating_mul(20), "at most verified and 19 times as much");
    }
}

#[test]
fn what_is_missing_until_all_provisional_work_counts_is_exact() {
    let work = |n| Work::new(n).unwrap();
    for multiplier in [0, 1, 2, 19, u64::MAX] {
        let rules = Rules { provisional_cap_multiplier: Some(multiplier), ..rules() };
        for verified in 0..12 {
            for provisional in 0..60 {
                let missing = rules.missing_verified(work(verified), work(provisional)).get();
                let is_enough = |more: u64| {
                    let left = work(provisional - more);
                    rules.counted_provisional(work(verified + more), left) == left
                };
                assert!(is_enough(missing), "{multiplier} {verified} {provisional}: {missing}");
                assert!(missing == 0 || !is_enough(missing - 1), "{multiplier} {verified} {provisional}: {missing}");
            }
        }
    }
    let free = Rules { provisional_cap_multiplier: None, ..rules() };
    assert_eq!(free.missing_verified(work(0), work(60)), Work::ZERO);
}
