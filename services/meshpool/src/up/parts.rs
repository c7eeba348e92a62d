//! What actors are built from.
use std::sync::Arc;
use std::time::Duration;

use blocks::Policy;
use messages::facts::LeaseEpoch;
use payout::PayoutParts;
use rand::Rng;
use retention::RetentionParts;
use runtime::ActorRef;
use settings::Settings;
use share_ledger::ShareLedger;
use template::{FailoverTimeouts, Pace, Published, TemplateParts, TemplateSettings};

use super::Pool;

/// The rules that price blocks which are found from now on.
pub(super) fn policy(settings: &Settings) -> Policy {
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

impl Pool {
    pub(super) fn payout_parts(&self, lease: LeaseEpoch) -> PayoutParts {
        let first = self.daemons.first().expect("the settings always name a first daemon");
        PayoutParts {
            daemon: first.daemon.clone(),
            password: Arc::clone(&first.wallet_password),
            store: self.store.clone(),
            settings: self.settings.payout.clone(),
            network: self.settings.pool.network.addresses(),
            reward_address: self.settings.pool.reward_address.clone(),
            settle_depth: self.settle_depth(),
            credit_depth: self.settings.blocks.confirmations,
            steps_file: self.settings.data.dir.join("payout.steps"),
            lease,
            clock: Arc::clone(&self.clock),
            random_id: Arc::new(|| rand::rng().random()),
            counters: Arc::clone(&self.counters),
            conditions: Arc::clone(&self.conditions),
        }
    }

    pub(super) fn retention_parts(&self, lease: LeaseEpoch) -> RetentionParts {
        RetentionParts {
            settings: self.settings.retention.clone(),
            window: self.policy.window(),
            store: self.store.clone(),
            lease,
            clock: Arc::clone(&self.clock),
            counters: Arc::clone(&self.counters),
        }
    }

    pub(super) fn template_parts(&self, published: &Arc<Published>, ledger: &ActorRef<ShareLedger>) -> TemplateParts {
        let settings = &self.settings;
        let secs = Duration::from_secs;
        // There blocks come a hundred times as fast.
        let (pace, patience) = match settings.pool.network == settings::Network::Devnet {
            true => (
                Pace { min_age: secs(1), max_age: secs(10), step_back: secs(20) },
                FailoverTimeouts { lag: secs(2), settle: secs(5), bar: secs(2), ..FailoverTimeouts::default() },
            ),
            false => (Pace::default(), FailoverTimeouts::default()),
        };
        TemplateParts {
            settings: TemplateSettings {
                reward_address: settings.pool.reward_address.clone(),
                refresh_on_same_height: settings.stratum.refresh_on_same_height,
                pace,
                patience,
            },
            sources: self.daemons.clone(),
            store: self.store.clone(),
            published: Arc::clone(published),
            ids: Arc::clone(&self.ids),
            counters: Arc::clone(&self.counters),
            clock: Arc::clone(&self.clock),
            ledger: ledger.recipient(),
        }
    }
}
