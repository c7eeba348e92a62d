//! The difficulty of the next block: a linearly weighted moving average over its ancestors.

/// What one chain's difficulty rule is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DifficultyRules {
    /// Solve times that are averaged; a child of a younger parent gets the floor.
    pub window: usize,
    /// Wanted seconds between blocks.
    pub target_secs: u64,
    /// No block is easier than this.
    pub floor: u64,
}

impl DifficultyRules {
    /// The rule of the real networks.
    pub const BLOCKNET: DifficultyRules = DifficultyRules { window: 60, target_secs: 300, floor: 4 };
}

/// What the rule reads of an ancestor's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Header time in Unix seconds.
    pub timestamp: i64,
    /// Header difficulty.
    pub difficulty: u64,
}

/// The difficulty that the child of the last ancestor must have. `ancestors` run from old to new and end with the
/// parent; only the last `window + 1` matter.
///
/// A solve time counts as at least one second and at most six targets, and the later it lies the more it weighs.
#[must_use]
pub fn next_difficulty(rules: &DifficultyRules, ancestors: &[Ancestor]) -> u64 {
    let Some(start) = ancestors.len().checked_sub(rules.window.saturating_add(1)) else {
        return rules.floor;
    };
    let newest = &ancestors[start..];
    let window = widen(rules.window);
    let target = u128::from(rules.target_secs);
    let longest = target.saturating_mul(6).max(1);

    let mut weighted_secs = 0_u128;
    let mut difficulty_sum = 0_u128;
    for (weight, pair) in (1_u128..).zip(newest.windows(2)) {
        let gap = i128::from(pair[1].timestamp) - i128::from(pair[0].timestamp);
        let solve_secs = u128::try_from(gap).unwrap_or(0).clamp(1, longest);
        weighted_secs += weight * solve_secs;
        difficulty_sum += u128::from(pair[1].difficulty);
    }
    let average = difficulty_sum / window.max(1);
    // With every solve time on target, the weighted sum is exactly this, and the average stays.
    let expected_secs = target.saturating_mul(window * (window + 1) / 2);
    let next = average.saturating_mul(expected_secs) / weighted_secs.max(1);
    u64::try_from(next).unwrap_or(u64::MAX).max(rules.floor)
}

fn widen(count: usize) -> u128 {
    u128::try_from(count).expect("a usize fits a u128")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain(gaps: &[i64], difficulty: u64) -> Vec<Ancestor> {
        let times = gaps.iter().scan(1_772_000_000, |time, gap| {
            *time += gap;
            Some(*time)
        });
        times.map(|timestamp| Ancestor { timestamp, difficulty }).collect()
    }

    #[test]
    fn a_young_chain_stays_at_the_floor() {
        let rules = DifficultyRules { window: 60, target_secs: 3, floor: 60 };
        assert_eq!(next_difficulty(&rules, &chain(&[1; 60], 9_000)), 60);
        assert!(next_difficulty(&rules, &chain(&[1; 61], 9_000)) > 9_000);
        assert_eq!(next_difficulty(&rules, &[]), 60);
    }

    proptest! {
        #[test]
        fn blocks_on_target_keep_the_difficulty(target in 1_u64..600, difficulty in 60_u64..1 << 40) {
            let rules = DifficultyRules { window: 60, target_secs: target, floor: 60 };
            let gaps = [i64::try_from(target).unwrap(); 61];
            prop_assert_eq!(next_difficulty(&rules, &chain(&gaps, difficulty)), difficulty);
        }

        #[test]
        fn no_header_times_break_the_rule(times in prop::collection::vec((any::<i64>(), any::<u64>()), 61..80)) {
            let ancestors: Vec<Ancestor> =
                times.iter().map(|(timestamp, difficulty)| Ancestor { timestamp: *timestamp, difficulty: *difficulty }).collect();
            prop_assert!(next_difficulty(&DifficultyRules::BLOCKNET, &ancestors) >= 4);
        }
    }
}
