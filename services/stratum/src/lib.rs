//! The Stratum front: listeners and sessions.
//!
//! Sessions are tasks, not actors: one per connection, on N arbiters, with state local to the thread. Everything
//! they need to hear (job, restrictions, notices, drain) is published to them; what they have read goes to
//! `ShareLedger` in batches, one message per arbiter and moment.
//!
//! From a socket to an answer: `accept` (connections and their limits), `inbound` (lines and requests), `login`,
//! `submit_checks`, `submit`, `ledger_client`, `replies`. What goes its own way beside it: `in_doubt`,
//! `validation_queue`, `job_pusher`, `retargeter`, `reject_log`. Each part owns its fields and holds the parts that it
//! may use; `shard` builds them for one arbiter.
//!
//! What it refuses to do: ask the database for anything, hash, and keep a miner waiting for another one.
//!
//! Bounds: connections in all, per client and per network; logins, names, invalid lines and bytes per client; bytes of
//! a line, bytes a connection may leave unread, shares of one batch and of one job, assignments of one session. At each
//! the miner is told, or closed with a reason in `meshpool_stratum_closed_total`. Penalties fall on the client, its
//! IPv4 address or IPv6 /64, never on a payout address.
#![warn(missing_docs)]

mod accept;
mod active_restrictions;
mod assignment;
mod bans;
mod buffer_pool;
mod client;
mod close_reason;
mod connection_limiter;
#[doc(hidden)]
pub mod fuzzing;
mod hints;
mod in_doubt;
mod inbound;
mod job_pusher;
mod ledger_client;
mod limits;
mod listen;
mod login;
mod metrics;
mod notices;
mod open_sessions;
mod origin;
mod pending;
mod proxy;
mod pushes;
mod ranges;
mod reject_code;
mod reject_counts;
mod reject_log;
mod replies;
mod retargeter;
mod session;
mod shard;
mod submit;
mod submit_checks;
mod tls;
mod transport;
mod validation_queue;
mod vardiff;

use std::sync::Arc;

use messages::facts::{Clock, JobReceiver, LocalIds, Notice, Restrictions, SessionIds};
use messages::share_ledger::{AppendEvents, AppendShares, FindShares};
use messages::validation::{ClaimPermits, OfferShares, VerifyShare};
use runtime::Recipient;
use settings::{StratumSettings, VardiffSettings};
use tokio::sync::{broadcast, watch};

pub use bans::Bans;
pub use client::Client;
pub use close_reason::{CloseReason, CloseReasonCounts};
pub use hints::Hints;
/// Acknowledged shares of one arbiter that Validation has not taken yet.
pub const OFFERS_MAX: usize = validation_queue::OWED_MAX;
pub use listen::{ListenError, Listeners, Stratum};
pub use metrics::StratumMetrics;
pub use origin::OriginSalt;
pub use ranges::ProcessNumber;
pub use reject_code::RejectCodeCounts;
pub use tls::{TlsError, check_certificate};

/// What the front is built from.
#[derive(Clone)]
pub struct StratumParts {
    /// Listener and limits.
    pub settings: StratumSettings,
    /// Difficulty of shares.
    pub vardiff: VardiffSettings,
    /// Whose addresses are taken.
    pub network: chain::Network,
    /// Threads that serve connections.
    pub arbiters: u8,
    /// Numbers this process among all that ever ran: its job ids and nonce ranges are its own.
    pub era: ProcessNumber,
    /// Keys the HMAC over client addresses.
    pub salt: OriginSalt,
    /// Makes shares durable.
    pub ledger: Recipient<AppendShares>,
    /// Says which shares are in the log.
    pub finder: Recipient<FindShares>,
    /// Takes reject counts.
    pub events: Recipient<AppendEvents>,
    /// Hears of acknowledged shares.
    pub validation: Recipient<OfferShares>,
    /// Proves shares before they are acknowledged, where that is needed.
    pub prover: Recipient<VerifyShare>,
    /// Whether Validation hears of every share, or (verification switched off) only of those that claim a block.
    pub offer_all: bool,
    /// The current job.
    pub jobs: JobReceiver,
    /// Places of block claims that are not judged yet.
    pub claim_places: Arc<ClaimPermits>,
    /// Who is under suspicion.
    pub restrictions: watch::Receiver<Arc<Restrictions>>,
    /// What miners are told.
    pub notices: broadcast::Sender<Notice>,
    /// What earlier sessions measured.
    pub hints: Arc<Hints>,
    /// Who may not connect.
    pub bans: Arc<Bans>,
    /// What it counts.
    pub metrics: Arc<StratumMetrics>,
    /// The wall clock.
    pub clock: Clock,
    /// Local ids of lines.
    pub ids: Arc<LocalIds>,
    /// Ids of connections.
    pub sessions: Arc<SessionIds>,
}

impl StratumParts {
    /// Binds and serves.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(self) -> Result<Stratum, ListenError> {
        let listeners = Listeners::bind(&self.settings, &self.metrics)?;
        self.start_on(listeners)
    }

    /// Serves on ports that are taken already.
    ///
    /// # Errors
    /// When the system does not give the listeners to all threads.
    pub fn start_on(self, listeners: Listeners) -> Result<Stratum, ListenError> {
        Stratum::start(self, listeners)
    }
}
