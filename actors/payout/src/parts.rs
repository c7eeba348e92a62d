//! What the actor is built from.
use std::path::PathBuf;
use std::sync::Arc;

use chain::Network;
use daemon::WalletPassword;
use messages::conditions::Conditions;
use messages::facts::{Clock, LeaseEpoch};
use settings::DaemonEndpoint;
use settings::PayoutSettings;
use store::Store;

use crate::metrics::PayoutMetrics;

/// Makes the 128 random bits of an intent's id.
pub type RandomId = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// What the actor is built from, once per generation.
#[derive(Clone)]
pub struct PayoutParts {
    /// The first daemon: its wallet pays.
    pub daemon: DaemonEndpoint,
    /// Opens its wallet.
    pub password: WalletPassword,
    /// The books.
    pub store: Store,
    /// Its section of the settings.
    pub settings: PayoutSettings,
    /// Whose addresses are paid.
    pub network: Network,
    /// Whom blocks pay, where the settings say so: it is never paid by the pool.
    pub reward_address: Option<String>,
    /// Depth (tip height minus block height) at which a payout is settled.
    pub settle_depth: u64,
    /// Depth at which a block is credited.
    pub credit_depth: u64,
    /// The data directory's own count of payout steps.
    pub steps_file: PathBuf,
    /// Under which money may be written.
    pub lease: LeaseEpoch,
    /// The wall clock.
    pub clock: Clock,
    /// Chance.
    pub random_id: RandomId,
    /// Figures of the process.
    pub metrics: Arc<PayoutMetrics>,
    /// What is wrong with the process.
    pub conditions: Arc<Conditions>,
}
