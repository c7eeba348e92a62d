//! What the pool is, where it keeps things, and what operators see.
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use units::{Amount, BasisPoints};

use crate::Listen;
use crate::forms::{hide, hide_all, optional};

/// Which chain the pool mines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Real money.
    Mainnet,
    /// The public test chain.
    Testnet,
    /// A simulated chain on this machine, with test addresses and relaxed rules.
    Devnet,
}

impl Network {
    /// Whose addresses it uses.
    #[must_use]
    pub const fn addresses(self) -> chain::Network {
        match self {
            Network::Mainnet => chain::Network::Mainnet,
            Network::Testnet | Network::Devnet => chain::Network::Testnet,
        }
    }
}

/// How the reward of a block is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayoutScheme {
    /// By the work of the time before the block (`pplns.window`).
    Pplns,
    /// By the work since the pool's block before.
    Proportional,
    /// The finder takes all.
    Solo,
}

impl PayoutScheme {
    /// As settings and stored policies write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PayoutScheme::Pplns => "pplns",
            PayoutScheme::Proportional => "proportional",
            PayoutScheme::Solo => "solo",
        }
    }
}

/// `[pool]`: who we are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Shown on the page.
    pub name: String,
    /// Where the page is reached from outside.
    pub url: String,
    /// Which chain.
    pub network: Network,
    /// Address that blocks pay to. Blank: the daemon wallet's own, learned once and then kept.
    #[serde(with = "optional")]
    pub reward_address: Option<String>,
    /// How a reward is shared.
    pub scheme: PayoutScheme,
    /// The pool's part of each reward, in hundredths of a percent of what the flat fee leaves.
    pub fee_bps: BasisPoints,
    /// Taken from each reward before that part.
    pub fee_flat: Amount,
    /// The finder's extra part of what the fees leave, in hundredths of a percent.
    pub finder_bonus_bps: BasisPoints,
    /// Address that the pool's fee is paid out to. Blank: it stays in the pool's own account.
    #[serde(with = "optional")]
    pub fee_address: Option<String>,
}

impl Default for PoolSettings {
    fn default() -> PoolSettings {
        PoolSettings {
            name: "blocknet pool".to_owned(),
            url: "http://localhost:24783".to_owned(),
            network: Network::Mainnet,
            reward_address: None,
            scheme: PayoutScheme::Pplns,
            fee_bps: BasisPoints::default(),
            fee_flat: Amount::ZERO,
            finder_bonus_bps: BasisPoints::default(),
            fee_address: None,
        }
    }
}

impl PoolSettings {
    /// Replaces addresses in the legacy form by those that the pool knows them by.
    pub(crate) fn use_account_texts(&mut self) {
        let network = self.network.addresses();
        for address in [&mut self.reward_address, &mut self.fee_address].into_iter().flatten() {
            *address = chain::Address::account_text(address, &network).into_owned();
        }
    }
}

/// `[data]`: files of our own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSettings {
    /// Directory of the share log and of the embedded database.
    pub dir: PathBuf,
}

impl Default for DataSettings {
    fn default() -> DataSettings {
        DataSettings { dir: PathBuf::from("data") }
    }
}

/// `[database]`: where shares are folded to and money is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseSettings {
    /// `sqlite:PATH` or `postgres://…`. Blank: SQLite in the data directory, see [`crate::Settings::database_url`].
    /// A secret, since it may hold a password.
    #[serde(serialize_with = "hide")]
    pub url: SecretString,
    /// Connections kept open.
    pub pool_size: NonZeroU32,
}

impl Default for DatabaseSettings {
    fn default() -> DatabaseSettings {
        DatabaseSettings {
            url: SecretString::default(),
            pool_size: NonZeroU32::new(4).expect("the default is not zero"),
        }
    }
}

/// `[retention]`: how long details are kept. Daily summaries are kept for ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSettings {
    /// Age of the oldest detailed share. Blank: kept for ever.
    #[serde(with = "optional")]
    pub shares: Option<Duration>,
    /// Age of the oldest payout row. Blank: kept for ever.
    #[serde(with = "optional")]
    pub payouts: Option<Duration>,
    /// Time between two runs, at least 5 minutes.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl Default for RetentionSettings {
    fn default() -> RetentionSettings {
        let days = |count: u64| Duration::from_secs(count * 24 * 60 * 60);
        RetentionSettings { shares: Some(days(90)), payouts: Some(days(365)), interval: Duration::from_secs(60 * 60) }
    }
}

/// `[api]`: the HTTP API and the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSettings {
    /// Where to listen. Plain text: put a TLS terminator before it.
    pub listen: Listen,
    /// Keys that open the protected routes. None: those routes answer 503.
    #[serde(serialize_with = "hide_all")]
    pub keys: Vec<SecretString>,
    /// Serve the page from this directory instead of the built-in one. Blank: built in.
    #[serde(with = "optional")]
    pub ui_dir: Option<PathBuf>,
}

impl Default for ApiSettings {
    fn default() -> ApiSettings {
        ApiSettings { listen: Listen::from((Ipv4Addr::LOCALHOST, 24783)), keys: Vec::new(), ui_dir: None }
    }
}

/// `[monitor]`: probes and heartbeats.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MonitorSettings {
    /// Time between two rounds of probes.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Shared secret of the outside probe. Blank: its endpoint is closed.
    #[serde(serialize_with = "hide")]
    pub ingest_secret: SecretString,
}

impl Default for MonitorSettings {
    fn default() -> MonitorSettings {
        MonitorSettings { interval: Duration::from_secs(10), ingest_secret: SecretString::default() }
    }
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`: traces and logs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// Base URL of an OTLP collector (HTTP). Blank: nothing is sent.
    #[serde(with = "optional")]
    pub otlp_endpoint: Option<String>,
    /// Text or JSON.
    pub log_format: LogFormat,
}

impl Default for TelemetrySettings {
    fn default() -> TelemetrySettings {
        TelemetrySettings { otlp_endpoint: None, log_format: LogFormat::Text }
    }
}
