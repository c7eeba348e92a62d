//! What the miner's side of the pool is set to.
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use units::Difficulty;

use crate::Listen;

/// Memory of the real proof of work, KiB: 2 GiB.
pub const MAINNET_POW_MEMORY_KIB: u32 = 2_097_152;

/// `[stratum]`: the miners' port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StratumSettings {
    /// Where to listen. Loopback by default: the port is exposed on purpose.
    pub listen: Listen,
    /// Where only TLS is spoken. TLS is also spoken on `listen` to those who begin with it.
    #[serde(with = "crate::listen::optional")]
    pub tls_listen: Option<Listen>,
    /// Certificate chain, PEM. Read again when the file changes and at SIGHUP.
    #[serde(with = "crate::forms::optional")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[serde(with = "crate::forms::optional")]
    pub tls_key: Option<PathBuf>,
    /// Networks whose PROXY protocol headers (version 1 or 2) are believed. From anybody else they are refused.
    #[serde(deserialize_with = "crate::forms::networks")]
    pub proxy_from: Vec<IpNet>,
    /// Connections at once, over all clients.
    pub max_connections: u32,
    /// Connections at once from one client address.
    pub max_connections_per_ip: u32,
    /// Submits of one connection within `submit_rate_window`; more are answered `rate limited, retry`. While the
    /// difficulty that a fast miner should have is still to be found, its client may once send 8 times as many.
    pub submit_rate_max: u32,
    /// The sliding window of `submit_rate_max`.
    #[serde(with = "humantime_serde")]
    pub submit_rate_window: Duration,
    /// A connection that sends no line for so long is closed. A blank line counts.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How long a share of the previous template is still taken, measured to the moment its line was received.
    #[serde(with = "humantime_serde")]
    pub stale_grace: Duration,
    /// Refuse logins and submits without the claimed hash. Without a claim every share costs a full check.
    pub require_claimed_hash: bool,
    /// Look for a new template when the daemon reports another block of the current height.
    pub refresh_on_same_height: bool,
}

impl Default for StratumSettings {
    fn default() -> StratumSettings {
        StratumSettings {
            listen: Listen::from((Ipv4Addr::LOCALHOST, 3333)),
            tls_listen: None,
            tls_cert: None,
            tls_key: None,
            proxy_from: Vec::new(),
            max_connections: 4096,
            max_connections_per_ip: 16,
            submit_rate_max: 120,
            submit_rate_window: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(15 * 60),
            stale_grace: Duration::from_secs(8),
            require_claimed_hash: true,
            refresh_on_same_height: false,
        }
    }
}

/// `[vardiff]`: how share difficulty follows a miner's speed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VardiffSettings {
    /// Off: everybody keeps `initial`.
    pub enabled: bool,
    /// Difficulty of a miner nothing is known about, in expected hashes.
    pub initial: Difficulty,
    /// Never below.
    pub min: Difficulty,
    /// Never above. The network's difficulty is a second upper bound.
    pub max: Difficulty,
    /// Shares aimed at within `window`.
    pub target_shares: NonZeroU32,
    /// Time over which shares are counted.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Relative deviation from the target that is left alone, 0.01 to 0.95.
    pub tolerance: f64,
}

impl Default for VardiffSettings {
    fn default() -> VardiffSettings {
        let difficulty = |hashes| Difficulty::new(hashes).expect("the default is not zero");
        VardiffSettings {
            enabled: true,
            initial: difficulty(60),
            min: Difficulty::ONE,
            max: difficulty(1_000_000_000),
            target_shares: NonZeroU32::new(10).expect("the default is not zero"),
            window: Duration::from_secs(5 * 60),
            tolerance: 0.25,
        }
    }
}

/// Which shares the pool hashes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidationMode {
    /// A random part, see [`ValidationSettings::sample_rate`].
    Sampled,
    /// All of them.
    Full,
}

/// `[validation]`: proving shares.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationSettings {
    /// Sampled or full.
    pub mode: ValidationMode,
    /// Threads that hash. Each owns `pow_memory_kib` of memory for ever.
    pub lanes: NonZeroU32,
    /// Shares that may wait for their proof before they are acknowledged. At the bound submits are answered
    /// `server busy, retry`.
    pub capacity: NonZeroU32,
    /// Part of the shares that is checked at random, 0 to 1.
    pub sample_rate: f64,
    /// Shares of a new miner that are all checked.
    pub warmup_shares: u32,
    /// One check within so many shares at the latest; 0 switches this rule off.
    pub min_sample_every: u32,
    /// After a false share every share of its (address, origin) is proven before it is acknowledged, for so long.
    #[serde(with = "humantime_serde")]
    pub forced_verify_duration: Duration,
    /// False shares count together until for so long none came and no quarantine was in force.
    #[serde(with = "humantime_serde")]
    pub strike_window: Duration,
    /// So many false shares lead to a quarantine: every share of the pair is refused. 0 for never.
    pub quarantine_strikes: u32,
    /// The first quarantine; each further false share doubles it.
    #[serde(with = "humantime_serde")]
    pub quarantine_duration: Duration,
    /// The longest quarantine.
    #[serde(with = "humantime_serde")]
    pub max_quarantine_duration: Duration,
    /// Memory of one hash, KiB. Only a development network has other than 2097152.
    pub pow_memory_kib: u32,
}

impl ValidationSettings {
    /// True when no share of a miner would ever be checked.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.mode == ValidationMode::Sampled
            && self.sample_rate <= 0.0
            && self.warmup_shares == 0
            && self.min_sample_every == 0
    }
}

impl Default for ValidationSettings {
    fn default() -> ValidationSettings {
        ValidationSettings {
            mode: ValidationMode::Sampled,
            lanes: NonZeroU32::new(2).expect("the default is not zero"),
            capacity: NonZeroU32::new(2048).expect("the default is not zero"),
            sample_rate: 0.10,
            warmup_shares: 20,
            min_sample_every: 10,
            forced_verify_duration: Duration::from_secs(24 * 3600),
            strike_window: Duration::from_secs(24 * 3600),
            quarantine_strikes: 3,
            quarantine_duration: Duration::from_secs(3600),
            max_quarantine_duration: Duration::from_secs(168 * 3600),
            pow_memory_kib: MAINNET_POW_MEMORY_KIB,
        }
    }
}

/// `[ledger]`: the durable share log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSettings {
    /// Size at which a new segment file is begun, MiB.
    pub segment_size: NonZeroU32,
    /// Disk that unfolded shares may take while the database is away, MiB. At the bound submits are answered
    /// `server busy, retry`.
    pub backlog_max: NonZeroU32,
    /// Batches that may wait for the disk. At the bound submits are answered `server busy, retry`.
    pub mailbox: NonZeroU32,
}

impl LedgerSettings {
    /// `segment_size` in bytes.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        mib(self.segment_size)
    }

    /// `backlog_max` in bytes.
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        mib(self.backlog_max)
    }
}

fn mib(count: NonZeroU32) -> u64 {
    u64::from(count.get()) << 20
}

impl Default for LedgerSettings {
    fn default() -> LedgerSettings {
        let count = |number| NonZeroU32::new(number).expect("the default is not zero");
        LedgerSettings { segment_size: count(64), backlog_max: count(4096), mailbox: count(1024) }
    }
}
