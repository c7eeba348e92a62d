//! The rules that price what this process finds, and the depths at which they bind.
use blocks::Policy;
use settings::Settings;
use share_log::LogDirectory;
use units::PolicyId;

use crate::context::HostContext;
use crate::error::HostError;

/// A payout is settled at this depth, or at that of a credit where that is less.
const SETTLE_DEPTH_MAX: u64 = 10;

/// The rules, and their number in the books.
pub(crate) struct Pricing {
    pub(crate) policy: Policy,
    pub(crate) id: PolicyId,
}

impl Pricing {
    /// Brings the rules into the books, under a number that the share log has not used for others.
    pub(crate) async fn note(
        context: &HostContext<'_>,
        directory: Option<&LogDirectory>,
    ) -> Result<Pricing, HostError> {
        let policy = policy(&context.settings);
        let logged = match directory {
            Some(directory) => directory.last_policy().map_err(HostError::config)?,
            None => PolicyId(0),
        };
        let noted = context.store.policy_ensure_above(&policy.to_json(), logged, (context.clock)()).await;
        Ok(Pricing { policy, id: noted.map_err(HostError::database)? })
    }
}

fn policy(settings: &Settings) -> Policy {
    Policy {
        scheme: settings.pool.scheme.as_str().to_owned(),
        fee_bps: settings.pool.fee_bps,
        fee_flat: settings.pool.fee_flat,
        finder_bonus_bps: settings.pool.finder_bonus_bps,
        fee_address: settings.pool.fee_address.clone(),
        provisional_cap: settings.provisional_cap().map(u64::from),
        window_ms: u64::try_from(settings.pplns.window.as_millis()).unwrap_or(u64::MAX),
        confirmations: settings.blocks.confirmations,
    }
}

/// Depth at which a payout's books are closed.
pub(crate) fn settle_depth(settings: &Settings) -> u64 {
    settings.blocks.confirmations.min(SETTLE_DEPTH_MAX)
}
