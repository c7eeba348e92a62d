//! What blocks, credits and payouts are set to, and the daemon they go through.
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use units::Amount;

use crate::forms::{hide, optional};

/// Depth at which a block is credited on a network with real money.
pub const MAINNET_CONFIRMATIONS: u64 = 60;

/// `[daemon]`: the Blocknet daemon, and those to fall back to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonSettings {
    /// Base URL of the daemon's API.
    pub url: String,
    /// File with the daemon's token; read before `data_dir`. Blank: not used.
    #[serde(with = "optional")]
    pub cookie_path: Option<PathBuf>,
    /// The daemon's data directory: its token is in `api.cookie` there. Blank: not used.
    #[serde(with = "optional")]
    pub data_dir: Option<PathBuf>,
    /// A fixed token instead of a file. Blank: use the file.
    #[serde(serialize_with = "hide")]
    pub token: SecretString,
    /// File with the wallet's password. Blank: `BLOCKNET_WALLET_PASSWORD` from the environment or from a `.env`
    /// file beside the settings file.
    #[serde(with = "optional")]
    pub wallet_password_file: Option<PathBuf>,
    /// How often the chain's tip is asked for; events only make it faster.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Further daemons, in order of preference.
    pub fallback: Vec<DaemonEndpoint>,
}

impl DaemonSettings {
    /// All daemons in order of preference; at least one.
    #[must_use]
    pub fn endpoints(&self) -> Vec<DaemonEndpoint> {
        let first = DaemonEndpoint {
            url: self.url.clone(),
            cookie_path: self.cookie_path.clone(),
            data_dir: self.data_dir.clone(),
            token: self.token.clone(),
            wallet_password_file: self.wallet_password_file.clone(),
        };
        std::iter::once(first).chain(self.fallback.iter().cloned()).collect()
    }
}

impl Default for DaemonSettings {
    fn default() -> DaemonSettings {
        DaemonSettings {
            url: "http://127.0.0.1:8332".to_owned(),
            cookie_path: Some(PathBuf::from("/etc/blocknet/pool/daemon-active.api.cookie")),
            data_dir: Some(PathBuf::from("data")),
            token: SecretString::default(),
            wallet_password_file: None,
            poll_interval: Duration::from_secs(2),
            fallback: Vec::new(),
        }
    }
}

/// Where a daemon is and how it lets one in: an element of `[[daemon.fallback]]`, or the first one seen as such.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonEndpoint {
    /// Base URL of its API, `http://HOST:PORT`.
    pub url: String,
    /// File with its token; read before `data_dir`, and when there is no `token`.
    #[serde(with = "optional")]
    pub cookie_path: Option<PathBuf>,
    /// Its data directory: the token is in `api.cookie` there.
    #[serde(with = "optional")]
    pub data_dir: Option<PathBuf>,
    /// A fixed token instead of a file; blank counts as none.
    #[serde(serialize_with = "hide")]
    pub token: SecretString,
    /// File with its wallet's password.
    #[serde(with = "optional")]
    pub wallet_password_file: Option<PathBuf>,
}

impl DaemonEndpoint {
    /// The files that may hold its token, in the order in which to try them.
    #[must_use]
    pub fn cookie_files(&self) -> Vec<PathBuf> {
        let in_data_dir = self.data_dir.as_ref().map(|dir| dir.join("api.cookie"));
        self.cookie_path.clone().into_iter().chain(in_data_dir).collect()
    }
}

/// `[blocks]`: found blocks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlocksSettings {
    /// Depth (tip height minus block height) at which a block is credited. Below 60 only on a development network.
    pub confirmations: u64,
}

impl Default for BlocksSettings {
    fn default() -> BlocksSettings {
        BlocksSettings { confirmations: MAINNET_CONFIRMATIONS }
    }
}

/// `[pplns]`: which work a block pays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PplnsSettings {
    /// Work of this long before a block is paid by it.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Unchecked work counts up to so many times a miner's checked work; 0: without limit. Use
    /// [`crate::Settings::provisional_cap`].
    pub provisional_cap_multiplier: u64,
}

impl Default for PplnsSettings {
    fn default() -> PplnsSettings {
        PplnsSettings { window: Duration::from_secs(6 * 60 * 60), provisional_cap_multiplier: 19 }
    }
}

/// Who bears the network fee of a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkFee {
    /// The recipients, in proportion to what they get.
    Recipients,
    /// The pool's fee account, which must be able to.
    Pool,
}

/// `[payout]`: sending what is owed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PayoutSettings {
    /// Off: nothing new is sent; what was begun is still resolved.
    pub enabled: bool,
    /// Time between two payout runs.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// A balance below is not sent, in coins.
    pub min_amount: Amount,
    /// While this file exists nothing new is sent. Blank: not looked for.
    #[serde(with = "optional")]
    pub pause_file: Option<PathBuf>,
    /// Who bears the network fee.
    pub network_fee: NetworkFee,
    /// Recipients of one run; 0: without limit.
    pub max_recipients_per_tick: u32,
    /// Sum of one run, in coins; 0: without limit.
    pub max_total_per_tick: Amount,
    /// Most that one recipient gets in one run, in coins; 0: without limit.
    pub max_per_recipient: Amount,
}

impl Default for PayoutSettings {
    fn default() -> PayoutSettings {
        PayoutSettings {
            enabled: true,
            interval: Duration::from_secs(60 * 60),
            min_amount: Amount::from_atoms(10_000_000).expect("a tenth of a coin is an amount"),
            pause_file: Some(PathBuf::from("/etc/blocknet/pool/payouts.pause")),
            network_fee: NetworkFee::Recipients,
            max_recipients_per_tick: 500,
            max_total_per_tick: Amount::ZERO,
            max_per_recipient: Amount::ZERO,
        }
    }
}
