//! The command line of the load generator.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::report::Requirement;

/// `meshpool-devnet load`.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// What to do
    #[command(subcommand)]
    pub kind: Kind,
}

/// What all kinds of load take.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Stratum address of the pool
    #[arg(long, default_value = "127.0.0.1:3333")]
    pub pool: SocketAddr,
    /// Connections at once
    #[arg(long, default_value_t = 200)]
    pub connections: usize,
    /// Connections of one loopback source address; each address of 127.0.0.0/8 is a client of its own
    #[arg(long, default_value_t = 8)]
    pub per_source: usize,
    /// Process whose CPU time and memory are read
    #[arg(long)]
    pub pool_pid: Option<u32>,
    /// Payout addresses and workers follow from this number; two generators at once need two
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 unless this holds, say `accepted_per_s>=60000` or `rejected<=0`; may be repeated
    #[arg(long, value_name = "NAME>=VALUE")]
    pub require: Vec<Requirement>,
}

/// A kind of load. All are bounded in time.
#[derive(Subcommand, Clone, Debug)]
pub enum Kind {
    /// Submits shares: closed loop by default, open loop with --rate
    Shares(SharesArgs),
    /// Logs in and holds the connections, then closes and opens them all again
    Idle(IdleArgs),
    /// Connects, logs in, waits for a job, closes, and so on
    Logins(LoginsArgs),
    /// Times a new block until the last connection has read its new job
    Tip(TipArgs),
    /// Misbehaves on many connections while honest miners on the same port keep their time
    Abuse(AbuseArgs),
}

/// See [`Kind::Shares`].
#[derive(Args, Clone, Debug)]
pub struct SharesArgs {
    /// What all kinds take
    #[command(flatten)]
    pub common: Common,
    /// Submits under way on each connection
    #[arg(long, default_value_t = 1, conflicts_with = "rate")]
    pub in_flight: usize,
    /// Submits per second over all connections, at fixed times whatever the pool does
    #[arg(long)]
    pub rate: Option<f64>,
    /// Time that is measured
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Load before that
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub warm_up: Duration,
    /// Append each accepted share to this file, one JSON object a line
    #[arg(long)]
    pub accepted: Option<PathBuf>,
}

/// See [`Kind::Idle`].
#[derive(Args, Clone, Debug)]
pub struct IdleArgs {
    /// What all kinds take
    #[command(flatten)]
    pub common: Common,
    /// How long the connections are held before the pool's memory is read
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub hold: Duration,
    /// How often all are closed and opened again
    #[arg(long, default_value_t = 0)]
    pub cycles: u32,
}

/// See [`Kind::Logins`].
#[derive(Args, Clone, Debug)]
pub struct LoginsArgs {
    /// What all kinds take
    #[command(flatten)]
    pub common: Common,
    /// Time that is measured
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
}

/// See [`Kind::Tip`].
#[derive(Args, Clone, Debug)]
pub struct TipArgs {
    /// What all kinds take
    #[command(flatten)]
    pub common: Common,
    /// Control endpoint of the simulated daemon, `127.0.0.1:PORT`
    #[arg(long)]
    pub control: SocketAddr,
    /// How many blocks
    #[arg(long, default_value_t = 10)]
    pub tips: u32,
    /// Pause between two
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub pause: Duration,
}

/// See [`Kind::Abuse`].
#[derive(Args, Clone, Debug)]
pub struct AbuseArgs {
    /// What all kinds take; `--connections` counts the misbehaving ones
    #[command(flatten)]
    pub common: Common,
    /// How they misbehave
    #[arg(long, value_enum)]
    pub mode: Mode,
    /// Honest connections
    #[arg(long, default_value_t = 20)]
    pub honest: usize,
    /// Their shares per second, together
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// Time of each of two measurements: honest miners alone, and with the others
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
}

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Log in, ask a few things a second, and never read
    Deaf,
    /// The same as fast as the socket takes it: meant for a few hundred connections
    Flood,
    /// Connect and say nothing
    HalfOpen,
    /// Send a login one byte a second
    Slow,
    /// Send a good login in single bytes, without a pause
    Bytes,
    /// Send a megabyte without a line's end
    Megabyte,
    /// Greet the plain port in TLS
    Tls,
    /// Connect and close at once, from one address
    Storm,
}

/// Reads `500ms`, `10s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no time; say 500ms, 10s or 2m"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("{text:?} has no unit; say 500ms, 10s or 2m")),
    }
}
