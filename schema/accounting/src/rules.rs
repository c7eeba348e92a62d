//! The rules that price a block.
use serde::{Deserialize, Serialize};
use units::{Amount, BasisPoints, Work};

/// How the reward is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// By work in a window that slides over blocks.
    Pplns,
    /// By work since the pool's block before.
    Proportional,
    /// The finder takes all.
    Solo,
}

impl Scheme {
    /// As settings and digests write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Pplns => "pplns",
            Scheme::Proportional => "proportional",
            Scheme::Solo => "solo",
        }
    }
}

/// One version of the payout policy, without the window: which work counts is decided by whoever gathers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// How the reward is shared.
    pub scheme: Scheme,
    /// The pool's part of what the flat fee leaves.
    pub fee_bps: BasisPoints,
    /// Taken first; never more than the reward.
    pub fee_flat: Amount,
    /// The finder's extra part of what the fee leaves.
    pub finder_bonus_bps: BasisPoints,
    /// Provisional work counts up to this multiple of verified work; `None` counts all of it.
    pub provisional_cap_multiplier: Option<u64>,
}

impl Rules {
    /// What the pool keeps of `reward`: the flat fee, then the floor of a percentage of the rest.
    #[must_use]
    pub fn fee(&self, reward: Amount) -> Amount {
        let flat = self.fee_flat.min(reward);
        let rest = reward.checked_sub(flat).expect("the flat fee is cut to the reward");
        let part = rest.portion(self.fee_bps.get(), BasisPoints::WHOLE);
        flat.checked_add(part).expect("a fee is a part of the reward")
    }

    /// How much provisional work counts beside this much verified work.
    #[must_use]
    pub fn counted_provisional(&self, verified: Work, provisional: Work) -> Work {
        let Some(multiplier) = self.provisional_cap_multiplier else {
            return provisional;
        };
        // A cap beyond the largest number caps nothing.
        let cap = verified.get().checked_mul(multiplier).and_then(Work::new);
        cap.map_or(provisional, |cap| provisional.min(cap))
    }

    /// How much more of a miner's provisional work must be verified until all of it counts.
    #[must_use]
    pub fn missing_verified(&self, verified: Work, provisional: Work) -> Work {
        let Some(multiplier) = self.provisional_cap_multiplier else {
            return Work::ZERO;
        };
        if self.counted_provisional(verified, provisional) == provisional {
            return Work::ZERO;
        }
        // Work that is verified leaves the provisional part: (p - x) <= multiplier * (v + x).
        let all = u128::from(verified.get()).saturating_add(u128::from(provisional.get()));
        let needed = all.div_ceil(u128::from(multiplier).saturating_add(1));
        let missing = needed.saturating_sub(u128::from(verified.get()));
        u64::try_from(missing).ok().and_then(Work::new).map_or(provisional, |missing| missing.min(provisional))
    }
}
