//! What the two actors are built from, once per generation.
use std::sync::Arc;
use std::time::Duration;

use messages::conditions::Conditions;
use messages::facts::{Clock, LeaseEpoch, LogPosition, Notice, Tip};
use messages::share_ledger::AppendEvents;
use messages::template::RefreshTemplate;
use runtime::Recipient;
use settings::DaemonEndpoint;
use store::Store;
use tokio::sync::{broadcast, watch};
use units::{HostId, PolicyId};

use crate::metrics::BlocksMetrics;

/// What the actor is built from, once per generation.
#[derive(Clone)]
pub struct SubmitterParts {
    /// All daemons, in the order of the settings; at least one. Every block goes to all of them.
    pub daemons: Vec<DaemonEndpoint>,
    /// Takes the candidate's record.
    pub ledger: Recipient<AppendEvents>,
    /// Is told to look for the next template.
    pub template: Recipient<RefreshTemplate>,
    /// What miners are told.
    pub notices: broadcast::Sender<Notice>,
    /// What it counts.
    pub metrics: Arc<BlocksMetrics>,
}

/// What the actor is built from, once per generation.
#[derive(Clone)]
pub struct LifecycleParts {
    /// All daemons, in the order of the settings: the chain is read from the one whose tip it is.
    pub daemons: Vec<DaemonEndpoint>,
    /// The books.
    pub store: Store,
    /// Whose log recognised blocks are booked to.
    pub host: HostId,
    /// Prices blocks that no candidate explains.
    pub policy: PolicyId,
    /// Its window.
    pub window: Duration,
    /// The chain as the template actor sees it.
    pub tip: watch::Receiver<Tip>,
    /// The log's ends, once it is open.
    pub position: watch::Receiver<Option<LogPosition>>,
    /// Under which money may be written.
    pub lease: LeaseEpoch,
    /// The wall clock.
    pub clock: Clock,
    /// Where it is said that blocks wait for hosts.
    pub conditions: Arc<Conditions>,
}
