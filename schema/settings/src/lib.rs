//! What the pool is set to: one tree, from four layers.
//!
//! Defaults, then the settings file, then the environment (`POOL_SECTION__KEY`), then flags; the later wins.
//! Every refusal names the key and where its value came from, and all of them are reported together.
//!
//! What this crate refuses to do: keep a key that nobody knows, guess what a mistyped value meant, show a secret,
//! or read the environment in any other place.
//!
//! Relative paths are relative to the working directory.
#![warn(missing_docs)]

mod check;
mod error;
mod forms;
mod listen;
mod load;
mod password;
mod sections;

use std::num::NonZeroU64;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

pub use error::{Problem, SettingsError};
pub use forms::FormError;
pub use listen::{Listen, ListenAddress};
pub use load::{Flag, Load, load, log_format};
pub use sections::*;

/// The whole tree. Each part of the pool is given its own section only.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Who we are.
    pub pool: PoolSettings,
    /// Files of our own.
    pub data: DataSettings,
    /// The database.
    pub database: DatabaseSettings,
    /// The Blocknet daemon.
    pub daemon: DaemonSettings,
    /// The miners' port.
    pub stratum: StratumSettings,
    /// Share difficulty.
    pub vardiff: VardiffSettings,
    /// Proving shares.
    pub validation: ValidationSettings,
    /// The durable share log.
    pub ledger: LedgerSettings,
    /// Found blocks.
    pub blocks: BlocksSettings,
    /// Which work a block pays.
    pub pplns: PplnsSettings,
    /// Sending what is owed.
    pub payout: PayoutSettings,
    /// How long details are kept.
    pub retention: RetentionSettings,
    /// The HTTP API and the page.
    pub api: ApiSettings,
    /// Probes and heartbeats.
    pub monitor: MonitorSettings,
    /// Traces and logs.
    pub telemetry: TelemetrySettings,
    /// Where the wallet's password may come from, besides a file named by the settings.
    #[serde(skip)]
    pub(crate) password: PasswordSources,
    /// Variables of the environment that begin like the pool's and are none of them.
    #[serde(skip)]
    pub(crate) ignored: Vec<String>,
}

/// Kept from loading, for [`Settings::wallet_password`].
#[derive(Clone, Debug, Default)]
pub(crate) struct PasswordSources {
    /// `BLOCKNET_WALLET_PASSWORD` of the environment.
    pub(crate) env: Option<SecretString>,
    /// The directory that may hold a `.env` file.
    pub(crate) config_dir: PathBuf,
}

impl Settings {
    /// The database to use: as set, else `sqlite:` and a file in the data directory. May hold a password; for texts
    /// that people see use [`Settings::database_shown`].
    #[must_use]
    pub fn database_url(&self) -> SecretString {
        match self.database.url.expose_secret() {
            "" => SecretString::from(format!("sqlite:{}", self.data.dir.join("meshpool.sqlite").display())),
            url => SecretString::from(url.to_owned()),
        }
    }

    /// The database without user, password and parameters.
    #[must_use]
    pub fn database_shown(&self) -> String {
        let url = self.database_url();
        let url = url.expose_secret();
        match url.split_once("://") {
            Some((scheme, rest)) => {
                let rest = rest.split(['?', '#']).next().unwrap_or_default();
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                format!("{scheme}://{place}")
            }
            None => url.to_owned(),
        }
    }

    /// How many times a miner's checked work its unchecked work may count; `None` without limit. Where nothing is ever
    /// checked the limit would leave nobody any work, so there is none.
    #[must_use]
    pub fn provisional_cap(&self) -> Option<NonZeroU64> {
        if self.validation.is_off() { None } else { NonZeroU64::new(self.pplns.provisional_cap_multiplier) }
    }

    /// The simulated daemon keeps its files below our data directory, wherever that was put.
    pub(crate) fn fill_devnet(&mut self) {
        let daemon = &mut self.daemon;
        let dir = daemon.data_dir.get_or_insert_with(|| self.data.dir.join("daemon"));
        daemon.cookie_path.get_or_insert_with(|| dir.join("api.cookie"));
        daemon.wallet_password_file.get_or_insert_with(|| dir.join("wallet.password"));
    }
}
