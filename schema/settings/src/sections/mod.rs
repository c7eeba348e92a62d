//! One struct per part of the pool. Their `Default` is the documented default of each key.
mod mining;
mod money;
mod service;

pub use mining::{
    LedgerSettings, MAINNET_POW_MEMORY_KIB, StratumSettings, ValidationMode, ValidationSettings, VardiffSettings,
};
pub use money::{
    BlocksSettings, DaemonEndpoint, DaemonSettings, MAINNET_CONFIRMATIONS, NetworkFee, PayoutSettings, PplnsSettings,
};
pub use service::{
    ApiSettings, DataSettings, DatabaseSettings, LogFormat, MonitorSettings, Network, PoolSettings, RetentionSettings,
    TelemetrySettings,
};
