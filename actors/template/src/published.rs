//! What the actor publishes. Outlives its generations, so that a failure never takes a job away from a miner.
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use messages::facts::{CurrentJob, JobReceiver, Template, Tip};
use tokio::sync::watch;
use units::Timestamp;

/// The current job and tip, and the templates that miners may still be working on.
#[derive(Debug)]
pub struct Published {
    job: watch::Sender<Option<Arc<CurrentJob>>>,
    tip: watch::Sender<Tip>,
    /// Templates of the current identity that somebody may hold.
    live: Mutex<Vec<Live>>,
    /// The reward address, once it was learned.
    pub(crate) pinned: OnceLock<String>,
}

#[derive(Debug)]
struct Live {
    template: Weak<Template>,
    lease_ends: Option<Timestamp>,
}

impl Published {
    /// No job, no tip.
    #[must_use]
    pub fn new() -> Arc<Published> {
        Arc::new(Published {
            job: watch::Sender::new(None),
            tip: watch::Sender::new(Tip::default()),
            live: Mutex::default(),
            pinned: OnceLock::new(),
        })
    }

    /// What is mined now.
    #[must_use]
    pub fn jobs(&self) -> JobReceiver {
        self.job.subscribe()
    }

    /// The daemon's chain as last seen.
    #[must_use]
    pub fn tips(&self) -> watch::Receiver<Tip> {
        self.tip.subscribe()
    }

    pub(crate) fn job(&self) -> Option<Arc<CurrentJob>> {
        self.job.borrow().clone()
    }

    /// Changes the tip, and wakes listeners only if it is another one.
    pub(crate) fn set_tip(&self, change: impl FnOnce(&mut Tip)) {
        self.tip.send_if_modified(|tip| {
            let before = tip.clone();
            change(tip);
            *tip != before
        });
    }

    /// Makes `template` the current one. One of another identity is a push, and retires all that came before it.
    pub(crate) fn put(&self, template: Arc<Template>, lease_ends: Option<Timestamp>, now: Instant) {
        let before = self.job();
        let same = before.as_ref().is_some_and(|job| job.template.identity() == template.identity());
        let push = before.map_or(0, |job| job.push) + u64::from(!same);
        let mut live = self.lock();
        if !same {
            for retired in live.drain(..).filter_map(|live| live.template.upgrade()) {
                retired.retired_at.get_or_init(|| now);
            }
        }
        live.retain(|live| live.template.strong_count() > 0);
        live.push(Live { template: Arc::downgrade(&template), lease_ends });
        drop(live);
        self.job.send_replace(Some(Arc::new(CurrentJob { template, push, known_at: now })));
    }

    /// Daemon ids of the leases that end before `soon` and whose templates somebody still holds.
    pub(crate) fn leases_ending(&self, soon: Timestamp) -> Vec<String> {
        let mut live = self.lock();
        live.retain(|live| live.template.strong_count() > 0);
        let ending = live.iter().filter(|live| live.lease_ends.is_some_and(|ends| ends < soon));
        ending.filter_map(|live| live.template.upgrade()?.daemon_id.clone()).collect()
    }

    /// Notes how long a lease lasts now; `None`: it is not renewed any more.
    pub(crate) fn lease_is(&self, id: &str, ends: Option<Timestamp>) {
        for live in self.lock().iter_mut() {
            if live.template.upgrade().is_some_and(|template| template.daemon_id.as_deref() == Some(id)) {
                live.lease_ends = ends;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
