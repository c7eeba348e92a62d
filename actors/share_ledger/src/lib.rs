//! `ShareLedger`: the durable share log, and its way into the database.
//!
//! "Accepted" means on disk: a message that brings shares is answered after the fsync that covers them. One
//! thread owns the disk, one folds, the actor only hands over. The log alone is enough to attribute, fold and
//! re-verify every share, so neither logins nor shares need the database.
//!
//! What it refuses to do: judge shares, wait for the database, and edit what was written. A torn tail is cut
//! (and kept aside); damage in a synced commit is not ours to repair and stops the host.
//!
//! Bounds: `capacity` messages in the mailbox, 1,024 messages a commit, `backlog_max_bytes` of shares that are not in the
//! database yet, and an eighth more with all else that is logged. Beyond each the sender is told at once, as it is by a
//! full disk: nothing of a refused commit is in the log, and the next message tries again. Folded files may take as much
//! as the backlog; see `tidy`.
//!
//! A (template, nonce) is in the log once, so the fold need not look for it twice:
//! - Sessions assign no nonce of a template twice (`stratum`'s `ranges`), and a session reserves a nonce before it sends
//!   its share. So only the same session can send it again, and only after it was released.
//! - It is released after `Full`, when the share was taken back from the commit and its file cut, or never written; and
//!   when the mailbox refused it.
//! - After a lost or late answer it is released when [`FindShares`] did not find it. The question goes the way of the
//!   shares and stands behind them in the same mailbox and the same queue; what an earlier generation was given is
//!   written before the next one opens the log ([`LogOwner`]), and what died in its mailbox was never written.
//!
//! `meshpool audit` holds the stored log to it.
//!
//! A record that the database refuses is set aside there, with its bytes, and the fold goes on (`fold::isolate`); what an
//! operator has tried again comes into the log again (`share_log::record::Retried`), and counts from then on.
#![warn(missing_docs)]

mod aside;
mod audit;
mod claims;
mod continuity;
mod definitions;
mod disk;
mod find;
mod fold;
mod host_name;
mod intake;
mod metrics;
mod minute_clock;
mod probe;
mod progress;
mod prune;
mod step;
#[cfg(test)]
mod testing;
mod writer;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use chain::Network;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use messages::blocks::SubmitCandidate;
use messages::conditions::Conditions;
use messages::facts::{Clock, LocalIds, LogPosition};
use messages::share_ledger::{AppendEvents, AppendShares, DefineTemplate, FindShares, FoldNow, ReopenClaims};
use messages::validation::OfferShares;
use runtime::{Actor, Fault, Handler, Recipient, Refused, Reply};
use share_log::{Durable, LogDirectory};
use store::Store;
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};
use units::{HostId, PolicyId};

pub use audit::{LogAudit, LogAuditError, audit_log, set_aside_shares};
pub use claims::OpenClaims;
pub use continuity::{Continuity, continuity};
pub use disk::{DiskStall, LogOwner};
pub use host_name::{host_name, set_host_name};
pub use metrics::LedgerMetrics;

use disk::{Disk, Job};
use fold::Fold;
use progress::Progress;

/// Claims older than this are history: their block is long decided.
const CLAIM_HORIZON: Duration = Duration::from_secs(24 * 3600);

/// Threads that live as long as the actor: the disk's and the fold's, started first.
const THREADS: usize = 2;

/// What the actor is built from. Cloned for every generation.
#[derive(Clone)]
pub struct ShareLedgerParts {
    /// The log.
    pub directory: LogDirectory,
    /// The database that it folds into.
    pub store: Store,
    /// Whose addresses it holds.
    pub network: Network,
    /// Whose log it is.
    pub host: HostId,
    /// Messages that may be under way: the mailbox's limits, normal and urgent together.
    pub capacity: usize,
    /// A new file begins after this many bytes.
    pub segment_max_bytes: u64,
    /// Shares are refused while more than this is not folded.
    pub backlog_max_bytes: u64,
    /// Prices the blocks that are found from now on.
    pub policy: PolicyId,
    /// Length of its payout window.
    pub window: Duration,
    /// The wall clock.
    pub clock: Clock,
    /// Local ids of lines and templates that come back from the log.
    pub ids: Arc<LocalIds>,
    /// What it counts.
    pub metrics: Arc<LedgerMetrics>,
    /// What is wrong now.
    pub conditions: Arc<Conditions>,
    /// Where the log's ends are published; nothing before it is open.
    pub position: watch::Sender<Option<LogPosition>>,
    /// Held by the disk thread: the next generation begins when the one before has written what it was given.
    pub owner: Arc<LogOwner>,
    /// For drills.
    pub stall: Arc<DiskStall>,
    /// Takes claims that come back from the log.
    pub validation: Recipient<OfferShares>,
    /// Takes candidates that come back from the log.
    pub submitter: Recipient<SubmitCandidate>,
}

/// The actor.
pub struct ShareLedger {
    parts: ShareLedgerParts,
    disk: Option<Sender<Job>>,
    wake_fold: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    claims: Option<Receiver<OpenClaims>>,
    reopened: OpenClaims,
    progress: Arc<Progress>,
}

impl ShareLedger {
    /// A factory for the supervisor.
    pub fn factory(parts: ShareLedgerParts) -> impl Fn() -> ShareLedger {
        move || ShareLedger {
            parts: parts.clone(),
            disk: None,
            wake_fold: None,
            threads: Vec::new(),
            claims: None,
            reopened: OpenClaims::default(),
            progress: Arc::default(),
        }
    }

    fn hand_over(&self, job: Job) -> Result<(), Fault> {
        let disk = self.disk.as_ref().expect("`open` has run");
        match disk.try_send(job) {
            Ok(()) => Ok(()),
            // As many places as the mailbox admits messages: full cannot happen while the bound holds.
            Err(TrySendError::Full(_)) => Err(Fault::because("the disk thread's queue is smaller than the mailbox")),
            Err(TrySendError::Disconnected(_)) => Err(Fault::because("the disk thread has ended")),
        }
    }

    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(work);
        self.threads.push(thread.map_err(|error| Fault::because(format!("thread {name}: {error}")))?);
        Ok(())
    }

    fn start_claims(&mut self, durable: Durable) -> Result<(), Fault> {
        let (tell, claims) = bounded(1);
        self.claims = Some(claims);
        let parts = self.parts.clone();
        self.start("log-claims", move || {
            let since = (parts.clock)().minus(CLAIM_HORIZON);
            let found = claims::open_claims(&parts.directory, &parts.ids, parts.network, durable, since);
            let found = found.unwrap_or_else(|error| {
                warn!(%error, "open block claims cannot be read from the share log");
                OpenClaims::default()
            });
            if tell.send(found).is_err() {
                warn!("share ledger ended before its open claims were read");
            }
        })
    }

    /// Hands on what came back from the log; what is refused waits for the next tick.
    fn hand_on_claims(&mut self) {
        if let Some(claims) = &self.claims {
            match claims.try_recv() {
                Ok(found) => {
                    let (unjudged, candidates) = (found.unjudged.len(), found.candidates.len());
                    if unjudged + candidates > 0 {
                        info!(unjudged, candidates, "open block claims restored from the share log");
                    }
                    self.reopened = found;
                    self.claims = None;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.claims = None,
            }
        }
        while let Some(candidate) = self.reopened.candidates.pop() {
            if let Err(Refused::Busy(candidate) | Refused::Down(candidate)) = self.parts.submitter.tell(candidate) {
                return self.reopened.candidates.push(candidate);
            }
        }
        if !self.reopened.unjudged.is_empty() {
            let offer = OfferShares(std::mem::take(&mut self.reopened.unjudged));
            if let Err(Refused::Busy(offer) | Refused::Down(offer)) = self.parts.validation.tell(offer) {
                self.reopened.unjudged = offer.0;
            }
        }
    }
}

impl Actor for ShareLedger {
    const NAME: &'static str = "share_ledger";

    async fn open(&mut self) -> Result<(), Fault> {
        let parts = self.parts.clone();
        let progress = Arc::clone(&self.progress);
        // One more for what comes into the log again, which no message brings.
        let (disk, jobs) = bounded(parts.capacity + 1);
        let (wake_fold, woken) = bounded(1);
        let disk_thread = Disk {
            directory: parts.directory.clone(),
            segment_max_bytes: parts.segment_max_bytes,
            backlog_max_bytes: parts.backlog_max_bytes,
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
            conditions: Arc::clone(&parts.conditions),
            progress: Arc::clone(&progress),
            position: parts.position.clone(),
            stall: Arc::clone(&parts.stall),
            policy: parts.policy,
            fold: wake_fold.clone(),
        };
        let fold = Fold {
            directory: parts.directory.clone(),
            store: parts.store.clone(),
            network: parts.network,
            host: parts.host,
            policy: parts.policy,
            window: parts.window,
            kept_max_bytes: parts.backlog_max_bytes,
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
            conditions: Arc::clone(&parts.conditions),
            progress,
            owner: Arc::clone(&parts.owner),
            position: parts.position.clone(),
        };
        let owner = Arc::clone(&parts.owner);
        let (opened, end) = oneshot::channel();
        self.start("share-disk", move || disk_thread.run(&owner, opened, &jobs))?;
        let end = end.await.map_err(|_| Fault::because("the disk thread ended at its start"))?;
        let end = end.map_err(|error| Fault::because(error.to_string()))?;
        if end.cut_bytes > 0 {
            warn!(bytes = end.cut_bytes, "torn tail of the share log truncated; nothing in it was acknowledged");
        }
        self.start("log-fold", move || fold.run(&woken))?;
        // Up to what the process before this one wrote: its own claims this process hears of directly.
        self.start_claims(Durable { file: end.next_file, offset: 0, seq: end.next_seq })?;
        (self.disk, self.wake_fold) = (Some(disk), Some(wake_fold));
        Ok(())
    }

    /// Ends the threads after what they have in hand, and one last fold.
    async fn close(&mut self) {
        (self.disk, self.wake_fold) = (None, None);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                warn!("share ledger thread panicked");
            }
        }
    }
}

impl Handler<AppendShares> for ShareLedger {
    async fn handle(&mut self, message: AppendShares, reply: Reply<AppendShares>) -> Result<(), Fault> {
        self.hand_over(Job::Shares(message.0, reply))
    }
}

impl Handler<AppendEvents> for ShareLedger {
    async fn handle(&mut self, message: AppendEvents, reply: Reply<AppendEvents>) -> Result<(), Fault> {
        self.hand_over(Job::Events(message.0, reply))
    }
}

impl Handler<DefineTemplate> for ShareLedger {
    async fn handle(&mut self, message: DefineTemplate, reply: Reply<DefineTemplate>) -> Result<(), Fault> {
        self.hand_over(Job::Template(message.0, reply))
    }
}

impl Handler<FindShares> for ShareLedger {
    async fn handle(&mut self, message: FindShares, reply: Reply<FindShares>) -> Result<(), Fault> {
        self.hand_over(Job::Find(message, reply))
    }
}

impl Handler<FoldNow> for ShareLedger {
    async fn handle(&mut self, _: FoldNow, reply: Reply<FoldNow>) -> Result<(), Fault> {
        if self.threads.iter().take(THREADS).any(JoinHandle::is_finished) {
            return Err(Fault::because("the disk thread or the fold thread has ended"));
        }
        self.hand_on_claims();
        if let Some(rows) = self.progress.take_retry() {
            self.hand_over(Job::Retry(rows))?;
        }
        let wake = self.wake_fold.as_ref().expect("`open` has run");
        match wake.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => reply.send(()),
            Err(TrySendError::Disconnected(())) => return Err(Fault::because("the fold thread has ended")),
        }
        Ok(())
    }
}

impl Handler<ReopenClaims> for ShareLedger {
    async fn handle(&mut self, _: ReopenClaims, reply: Reply<ReopenClaims>) -> Result<(), Fault> {
        self.threads.retain(|thread| !thread.is_finished());
        if self.threads.len() < THREADS {
            return Err(Fault::because("the disk thread or the fold thread has ended"));
        }
        self.start_claims(self.progress.durable())?;
        reply.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
