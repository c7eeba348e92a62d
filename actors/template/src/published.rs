//! What the actor publishes. Outlives its generations, so that a failure never takes a job away from a miner.
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use messages::facts::{CurrentJob, DaemonHealth, DaemonsReceiver, JobReceiver, Template, Tip};
use store::best_chain::BestChain;
use tokio::sync::watch;
use units::{Height, Timestamp};

use crate::rules::FULL_FORM_MAX_BYTES;

/// Leases kept alive at once. The daemon has 512 for everybody; those with the most holders come first.
const LEASES_MAX: usize = 256;

/// The current job and tip, the daemons' health, and the templates that miners may still be working on.
#[derive(Debug)]
pub struct Published {
    job: watch::Sender<Option<Arc<CurrentJob>>>,
    tip: watch::Sender<Tip>,
    daemons: watch::Sender<Vec<DaemonHealth>>,
    current: Mutex<Current>,
    /// The reward address, once it was learned.
    pub(crate) pinned: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Current {
    /// Templates of the current identity that somebody may hold.
    live: Vec<Live>,
    /// What is taken builds on no less work: that of the chain that they build on, or of the best one.
    work: u64,
    /// The best chain that a template of this process, or of an earlier one, built on.
    best: Option<BestChain>,
    /// What earlier processes have seen is known.
    recalled: bool,
    /// Work of the best chain that is known to be stored.
    stored_work: u64,
}

#[derive(Debug)]
struct Live {
    template: Weak<Template>,
    /// `None`: it is gone, or is not renewed any more.
    lease_ends: Option<Timestamp>,
    /// A push has called miners away from it.
    left: bool,
}

/// A template on its way to the miners.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) template: Arc<Template>,
    pub(crate) lease_ends: Option<Timestamp>,
    /// Work of the chain that it builds on.
    pub(crate) work: u64,
    /// When its tip was first heard of.
    pub(crate) known_at: Instant,
    pub(crate) now: Instant,
    /// A lease that ends before this should have been renewed by now.
    pub(crate) soon: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PublishOutcome {
    /// It is a new job.
    Pushed,
    /// It serves later assignments.
    Renewed,
    /// The current one builds on more work.
    Older,
}

impl Published {
    /// No job, no tip.
    #[must_use]
    pub fn new() -> Arc<Published> {
        Arc::new(Published {
            job: watch::Sender::new(None),
            tip: watch::Sender::new(Tip::default()),
            daemons: watch::Sender::new(Vec::new()),
            current: Mutex::default(),
            pinned: OnceLock::new(),
        })
    }

    /// What is mined now.
    #[must_use]
    pub fn jobs(&self) -> JobReceiver {
        self.job.subscribe()
    }

    /// The followed daemon's chain as last seen.
    #[must_use]
    pub fn tips(&self) -> watch::Receiver<Tip> {
        self.tip.subscribe()
    }

    /// How each daemon is.
    #[must_use]
    pub fn daemons(&self) -> DaemonsReceiver {
        self.daemons.subscribe()
    }

    pub(crate) fn job(&self) -> Option<Arc<CurrentJob>> {
        self.job.borrow().clone()
    }

    /// Work of the chain that the current job builds on.
    pub(crate) fn work(&self) -> u64 {
        self.lock().work
    }

    /// The chain with the most work that any template built on, if one is known.
    pub(crate) fn best(&self) -> Option<BestChain> {
        self.lock().best
    }

    /// Whether what earlier processes have seen is known.
    pub(crate) fn is_recalled(&self) -> bool {
        self.lock().recalled
    }

    /// Takes note of what earlier processes have seen.
    pub(crate) fn recall(&self, stored: Option<BestChain>) {
        let mut current = self.lock();
        current.recalled = true;
        let Some(stored) = stored.filter(|stored| stored.work > current.stored_work) else { return };
        current.stored_work = stored.work;
        current.work = current.work.max(stored.work);
        if current.best.is_none_or(|best| best.work < stored.work) {
            current.best = Some(stored);
        }
    }

    /// The best chain, if it is not known to be stored.
    pub(crate) fn best_to_store(&self) -> Option<BestChain> {
        let current = self.lock();
        current.best.filter(|best| best.work > current.stored_work)
    }

    /// It was stored.
    pub(crate) fn best_is_stored(&self, best: BestChain) {
        let mut current = self.lock();
        current.stored_work = current.stored_work.max(best.work);
    }

    /// Forgets the best chain: it is gone for good, and any other is as good.
    pub(crate) fn give_up_best(&self) {
        let mut current = self.lock();
        (current.best, current.work, current.stored_work) = (None, 0, 0);
    }

    /// Lets a chain with less work be followed.
    pub(crate) fn forget_work(&self) {
        self.lock().work = 0;
    }

    /// Changes the tip, and wakes listeners only if it is another one.
    pub(crate) fn set_tip(&self, change: impl FnOnce(&mut Tip)) {
        change_if_new(&self.tip, change);
    }

    pub(crate) fn set_daemons(&self, health: Vec<DaemonHealth>) {
        change_if_new(&self.daemons, |now| *now = health);
    }

    /// Makes it the current one, unless the current one builds on more work. One of another identity is a push and
    /// retires all that came before it. So is one of the same identity when work on an earlier one is about to become
    /// worthless: its lease cannot be kept, and it is too large for the full form.
    pub(crate) fn put(&self, offer: Offer) -> PublishOutcome {
        let mut current = self.lock();
        if offer.work < current.work {
            return PublishOutcome::Older;
        }
        let before = self.job();
        let same = before.as_ref().is_some_and(|job| job.template.identity() == offer.template.identity());
        current.live.retain(|live| live.template.strong_count() > 0);
        let mut push = !same;
        for live in &mut current.live {
            let Some(template) = live.template.upgrade() else { continue };
            if !same {
                template.retired_at.get_or_init(|| offer.now);
            } else if !live.left
                && template.daemon_id.is_some()
                && template.block.get().len() > FULL_FORM_MAX_BYTES
                && live.lease_ends.is_none_or(|ends| ends < offer.soon)
            {
                (live.left, push) = (true, true);
            }
        }
        if !same {
            current.live.clear();
        }
        if current.best.is_none_or(|best| best.work < offer.work) {
            let height = Height::new(offer.template.height.get().saturating_sub(1));
            current.best = Some(BestChain { height, work: offer.work, seen_at: offer.template.fetched_at });
        }
        let Offer { template, lease_ends, known_at, .. } = offer;
        current.live.push(Live { template: Arc::downgrade(&template), lease_ends, left: false });
        current.work = offer.work;
        let known_at = before.as_ref().filter(|_| same).map_or(known_at, |job| job.known_at);
        let push_number = before.map_or(0, |job| job.push) + u64::from(push);
        // Under the lock: what is sent last is what was decided last.
        self.job.send_replace(Some(Arc::new(CurrentJob { template, push: push_number, known_at })));
        if push { PublishOutcome::Pushed } else { PublishOutcome::Renewed }
    }

    /// Issuer and daemon's name of the leases that end before `soon` and whose templates somebody still holds.
    pub(crate) fn leases_ending(&self, soon: Timestamp) -> Vec<(usize, String)> {
        let mut current = self.lock();
        current.live.retain(|live| live.template.strong_count() > 0);
        let mut held: Vec<_> = current.live.iter().filter(|live| live.lease_ends.is_some()).collect();
        held.sort_by_key(|live| std::cmp::Reverse(live.template.strong_count()));
        let ending = held.into_iter().take(LEASES_MAX).filter(|live| live.lease_ends.is_some_and(|ends| ends < soon));
        ending
            .filter_map(|live| {
                let template = live.template.upgrade()?;
                Some((template.issuer?, template.daemon_id.clone()?))
            })
            .collect()
    }

    /// Notes how long a lease lasts now; `None`: it is not renewed any more.
    pub(crate) fn lease_is(&self, issuer: usize, id: &str, ends: Option<Timestamp>) {
        for live in &mut self.lock().live {
            let is_it =
                |template: Arc<Template>| template.issuer == Some(issuer) && template.daemon_id.as_deref() == Some(id);
            if live.template.upgrade().is_some_and(is_it) {
                live.lease_ends = ends;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes listeners only if the value is another one.
fn change_if_new<T: Clone + PartialEq>(sender: &watch::Sender<T>, change: impl FnOnce(&mut T)) {
    sender.send_if_modified(|value| {
        let before = value.clone();
        change(value);
        *value != before
    });
}
