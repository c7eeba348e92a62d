//! How the actors of a process reach each other.
use std::sync::Arc;

use blocks::BlockSubmitter;
use live::Snapshot;
use messages::facts::{LogPosition, Notice, Restrictions};
use messages::validation::ClaimPermits;
use runtime::{ActorRef, Limits};
use share_ledger::{DiskStall, ShareLedger};
use template::{Published, TemplateActor};
use tokio::sync::{broadcast, watch};
use units::HostId;
use validation::Validation;

use crate::context::HostContext;
use crate::lease::Renewals;
use crate::membership::Membership;
use crate::policies;
use crate::pricing::Pricing;

/// Notices that a slow arbiter may lag behind.
const NOTICES: usize = 64;
/// The database numbers hosts from one on.
const NO_LOG: HostId = HostId(0);

/// Addresses and facts, made before any actor starts: so actors can be started in any order, and an actor whose role is
/// not in the process is one that is down.
pub(crate) struct Wiring {
    // What the process is in the books.
    /// Whose share log its positions are of; of none for a process that writes no log.
    pub(crate) host: HostId,
    /// Under which name it says something of itself.
    pub(crate) host_name: String,
    pub(crate) pricing: Pricing,
    // Actors that others send messages to.
    pub(crate) ledger: ActorRef<ShareLedger>,
    pub(crate) validation: ActorRef<Validation>,
    pub(crate) submitter: ActorRef<BlockSubmitter>,
    pub(crate) template: ActorRef<TemplateActor>,
    // Facts, by who says them.
    /// Template: tip, job, daemons.
    pub(crate) published: Arc<Published>,
    /// The share ledger: how far the log is durable and folded. Empty until the log is open.
    pub(crate) position: watch::Sender<Option<LogPosition>>,
    /// Validation's penalties: who is under suspicion.
    pub(crate) restrictions: watch::Receiver<Arc<Restrictions>>,
    /// Places of block claims that are not judged yet: Validation says whose they are, the front takes them.
    pub(crate) claim_places: Arc<ClaimPermits>,
    /// The submitter: what miners are told.
    pub(crate) notices: broadcast::Sender<Notice>,
    /// The treasury: the fencing epoch of the money lease while it is held here.
    pub(crate) epochs: watch::Sender<Option<i64>>,
    /// The treasury: when the lease was last seen to be held.
    pub(crate) renewals: Arc<Renewals>,
    /// Live: the process's figures.
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    /// The API's drills: whether the share log's disk stalls.
    pub(crate) disk_stall: Arc<DiskStall>,
}

impl Wiring {
    /// `restrictions` were loaded by the validator; without one nobody is restricted.
    pub(crate) fn new(
        context: &HostContext<'_>,
        membership: Option<&Membership>,
        pricing: Pricing,
        restrictions: Option<watch::Receiver<Arc<Restrictions>>>,
    ) -> Wiring {
        let settings = &context.settings;
        Wiring {
            host: membership.map_or(NO_LOG, |membership| membership.id),
            host_name: membership.map_or_else(|| context.name.to_owned(), |membership| membership.name.clone()),
            pricing,
            ledger: ActorRef::unbound(Limits {
                messages: usize::try_from(settings.ledger.mailbox.get()).unwrap_or(1024),
                urgent: policies::LEDGER_URGENT,
            }),
            validation: ActorRef::unbound(Limits {
                messages: usize::try_from(settings.validation.capacity.get()).unwrap_or(2048),
                urgent: policies::VALIDATION_URGENT,
            }),
            submitter: ActorRef::unbound(policies::CANDIDATES),
            template: ActorRef::unbound(policies::QUIET),
            published: Published::new(),
            position: watch::channel(None).0,
            restrictions: restrictions.unwrap_or_else(|| watch::channel(Arc::default()).1),
            claim_places: Arc::default(),
            notices: broadcast::channel(NOTICES).0,
            epochs: watch::channel(None).0,
            renewals: Renewals::new(),
            snapshots: watch::channel(Arc::new(Snapshot::default())).0,
            disk_stall: Arc::new(DiskStall::default()),
        }
    }
}
