//! A load generator for a pool's Stratum port: shares in closed or open loop, idle connections, logins, the time from
//! a new block to the last miner, and misbehaviour beside honest miners.
//!
//! One thread and one poller, so that it leaves the machine to the pool; connections come from many addresses of
//! 127.0.0.0/8. Shares carry the share target as the hash that they claim, so the pool must have its checks off
//! (`[validation] sample_rate = 0, warmup_shares = 0, min_sample_every = 0`), a network difficulty above the share
//! difficulty, and submit rates that do not limit.
//!
//! What it refuses to do: run without an end, talk to anything but loopback, and send work that would be a block.
#![warn(missing_docs)]

mod abuse;
mod accepted;
mod args;
mod client;
mod fleet;
mod holding;
mod process;
mod report;
mod shares;

use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use args::{AbuseArgs, Common, IdleArgs, Kind, LoadArgs, LoginsArgs, Mode, SharesArgs, TipArgs};
pub use report::{Report, Requirement};

/// Descriptors beside those of connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// Why a load did not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Only a pool of this machine may be loaded.
    #[error("{0} is not a loopback address; load is for a pool of this machine")]
    NotLoopback(SocketAddr),
    /// Every connection takes a descriptor.
    #[error("{want} open files are needed and {have} are allowed; raise the limit (ulimit -n {want})")]
    Descriptors {
        /// How many are needed.
        want: u64,
        /// The hard limit.
        have: u64,
    },
    /// A connection was not made.
    #[error("cannot connect to {pool}")]
    Connect {
        /// Where to.
        pool: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The pool refuses a login.
    #[error("the pool refuses a login: {0}")]
    Login(String),
    /// Jobs did not come.
    #[error("{have} of {want} connections have a job, and no more came for a long time")]
    NoJob {
        /// Connections with a job.
        have: usize,
        /// Connections.
        want: usize,
    },
    /// See the module's text.
    #[error("every share would be a block: the network's difficulty must be above the share difficulty")]
    BlockWork,
    /// The list of accepted shares.
    #[error("cannot write {}", path.display())]
    Accepted {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The watched process.
    #[error("cannot read {path}")]
    Process {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The simulated daemon.
    #[error("the control endpoint gives no block: {0}")]
    Control(String),
    /// The poller.
    #[error("cannot wait for connections")]
    Poll(#[source] rustix::io::Errno),
    /// The misbehaving side ended early.
    #[error("the thread of the misbehaving connections panicked")]
    Crowd,
}

impl LoadArgs {
    /// What all kinds take.
    #[must_use]
    pub fn common(&self) -> &Common {
        match &self.kind {
            Kind::Shares(args) => &args.common,
            Kind::Idle(args) => &args.common,
            Kind::Logins(args) => &args.common,
            Kind::Tip(args) => &args.common,
            Kind::Abuse(args) => &args.common,
        }
    }
}

/// Runs a load to its end.
///
/// # Errors
/// When it cannot be run as asked. What the pool did is in the report.
pub fn run(args: &LoadArgs) -> Result<Report, LoadError> {
    let common = args.common();
    if !common.pool.ip().is_loopback() {
        return Err(LoadError::NotLoopback(common.pool));
    }
    let honest = if let Kind::Abuse(args) = &args.kind { args.honest } else { 0 };
    allow_descriptors((common.connections + honest) as u64 + SPARE_DESCRIPTORS)?;
    match &args.kind {
        Kind::Shares(args) => shares::run(args),
        Kind::Idle(args) => holding::idle(args),
        Kind::Logins(args) => holding::logins(args),
        Kind::Tip(args) => holding::tip(args),
        Kind::Abuse(args) => abuse::run(args),
    }
}

/// Raises the limit of open files to what is needed.
fn allow_descriptors(want: u64) -> Result<(), LoadError> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= want) {
        return Ok(());
    }
    let have = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(want), maximum: limit.maximum };
    if want > have || setrlimit(Resource::Nofile, raised).is_err() {
        return Err(LoadError::Descriptors { want, have });
    }
    Ok(())
}
