//! One version of the rules that price a block, as the database keeps it.
use std::time::Duration;

use accounting::{Account, Rules, Scheme, WindowTerms};
use serde::{Deserialize, Serialize};
use units::{Amount, BasisPoints, Timestamp};

/// Everything that a credit depends on but the work. Stored once as JSON; a block refers to the version it was found
/// under, whatever the settings say later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// `pplns`, `proportional` or `solo`.
    pub scheme: String,
    /// The pool's part, in hundredths of a percent.
    pub fee_bps: BasisPoints,
    /// Taken before that part, in each block.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub fee_flat: Amount,
    /// The finder's extra part of what the fee leaves, in hundredths of a percent.
    #[serde(default, skip_serializing_if = "is_none")]
    pub finder_bonus_bps: BasisPoints,
    /// Where the pool's part goes; empty for the pool's own account.
    pub fee_address: Option<String>,
    /// Provisional work counts up to so many times verified work; empty for all of it.
    pub provisional_cap: Option<u64>,
    /// Length of the window, in milliseconds.
    pub window_ms: u64,
    /// Depth at which the block is credited.
    pub confirmations: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_nothing(amount: &Amount) -> bool {
    amount.is_zero()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(part: &BasisPoints) -> bool {
    *part == BasisPoints::default()
}

/// A stored policy that this binary does not understand.
#[derive(Debug, thiserror::Error)]
#[error("stored policy is not understood: {0}")]
pub struct PolicyError(String);

impl Policy {
    /// The canonical text: the same rules give the same text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a policy is plain data")
    }

    /// Reads a stored policy.
    ///
    /// # Errors
    /// [`PolicyError`] for anything else.
    pub fn from_json(text: &str) -> Result<Policy, PolicyError> {
        let policy: Policy = serde_json::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        policy.scheme().map(|_| policy)
    }

    fn scheme(&self) -> Result<Scheme, PolicyError> {
        [Scheme::Pplns, Scheme::Proportional, Scheme::Solo]
            .into_iter()
            .find(|scheme| scheme.as_str() == self.scheme)
            .ok_or_else(|| PolicyError(format!("scheme `{}`", self.scheme)))
    }

    /// How a reward is split.
    ///
    /// # Errors
    /// [`PolicyError`] for a scheme that this binary does not know.
    pub fn rules(&self) -> Result<Rules, PolicyError> {
        Ok(Rules {
            scheme: self.scheme()?,
            fee_bps: self.fee_bps,
            fee_flat: self.fee_flat,
            finder_bonus_bps: self.finder_bonus_bps,
            provisional_cap_multiplier: self.provisional_cap,
        })
    }

    /// The account that gets the pool's part.
    #[must_use]
    pub fn fee_account(&self) -> Account {
        self.fee_address.as_deref().map_or(Account::PoolFee, Account::payable)
    }

    /// Length of the window.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    /// When the payout window of a block begins that was found at `found_at`, in a round that began at `round`.
    pub(crate) fn window_start(&self, found_at: Timestamp, round: Timestamp) -> Timestamp {
        WindowTerms::new(&self.scheme, self.window_ms).start(found_at, round, self.window())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_back_and_an_unknown_scheme_is_named() {
        let policy = Policy {
            scheme: "pplns".into(),
            fee_bps: BasisPoints::new(100).unwrap(),
            fee_flat: Amount::ZERO,
            finder_bonus_bps: BasisPoints::default(),
            fee_address: None,
            provisional_cap: Some(19),
            window_ms: 21_600_000,
            confirmations: 60,
        };
        assert_eq!(Policy::from_json(&policy.to_json()).unwrap(), policy);
        // What older programs stored is still the same policy.
        assert!(!policy.to_json().contains("flat") && !policy.to_json().contains("bonus"));
        let bonus = Policy {
            fee_flat: Amount::from_atoms(5).unwrap(),
            finder_bonus_bps: BasisPoints::new(500).unwrap(),
            ..policy.clone()
        };
        assert_eq!(Policy::from_json(&bonus.to_json()).unwrap(), bonus);
        let other = policy.to_json().replace("pplns", "lottery");
        assert!(Policy::from_json(&other).unwrap_err().to_string().contains("scheme `lottery`"));
    }
}
