//! The job that an arbiter's sessions mine: who gets it, and when.
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::facts::{CurrentJob, JobReceiver};
use wire::JobTemplate;

use crate::assignment::Assignment;
use crate::metrics::StratumMetrics;
use crate::open_sessions::OpenSessions;
use crate::pushes;
use crate::ranges::Ranges;
use crate::session::Session;

/// What all sessions share of a job.
struct Job {
    current: Arc<CurrentJob>,
    line: JobTemplate,
}

/// Hands one arbiter's sessions their jobs, each with a nonce range of its own.
pub(crate) struct JobPusher {
    job: RefCell<Option<Job>>,
    ranges: RefCell<Ranges>,
    published: JobReceiver,
    stale_grace: Duration,
    metrics: Arc<StratumMetrics>,
}

impl JobPusher {
    pub(crate) fn new(
        published: JobReceiver,
        ranges: Ranges,
        stale_grace: Duration,
        metrics: Arc<StratumMetrics>,
    ) -> Rc<JobPusher> {
        let (job, ranges) = (RefCell::default(), RefCell::new(ranges));
        Rc::new(JobPusher { job, ranges, published, stale_grace, metrics })
    }

    /// Name of the current template in stale texts.
    pub(crate) fn current_uid(&self) -> Option<u64> {
        self.job.borrow().as_ref().map(|job| job.current.template.uid())
    }

    /// Gives a session a new job, if there is one to give. One that is withheld is given at the first tick that can.
    pub(crate) fn push(&self, session: &Session) {
        let job = self.job.borrow();
        let (Some(job), mut miner) = (job.as_ref(), session.miner.borrow_mut()) else { return };
        let Some(miner) = miner.as_mut() else { return };
        let template = &job.current.template;
        // Never above the network's: a miner would keep blocks to itself.
        let difficulty = miner.vardiff.difficulty().min(template.network_difficulty);
        let now = Instant::now();
        let has_room = miner.assignments.make_room(now, self.stale_grace);
        let range = has_room.then(|| self.ranges.borrow_mut().take(template.local_id)).flatten();
        miner.is_owed_job = range.is_none();
        let Some(range) = range else { return self.metrics.jobs_withheld_total.add(1) };
        let assignment = Assignment::new(range, Arc::clone(template), difficulty, Arc::clone(&miner.line), now);
        let target_hex = wire::hash_hex(assignment.target.as_bytes());
        if let Some(current) = miner.assignments.current() {
            pushes::interrupt(&self.metrics, current, &miner.line, template, now);
        }
        miner.vardiff.assigned(difficulty, now);
        miner.assignments.push(assignment, now);
        self.metrics.jobs_pushed_total.add(1);
        session.write(|out| {
            let (nonce_first, nonce_last) = (range.first, range.last);
            let patch =
                wire::Assignment { job_id: range.job_id, difficulty, target_hex: &target_hex, nonce_first, nonce_last };
            job.line.write_job(out, &patch);
        });
    }

    /// Whether a session has a job; one that is owed one is given it.
    pub(crate) fn is_mining(&self, session: &Session) -> bool {
        if session.miner.borrow().as_ref().is_some_and(|miner| miner.is_owed_job) {
            self.push(session);
        }
        session.miner.borrow().as_ref().is_some_and(|miner| miner.assignments.current().is_some())
    }

    /// Pushes what is published to all sessions, until nobody publishes any more.
    pub(crate) async fn follow(self: Rc<Self>, sessions: Rc<OpenSessions>) {
        let mut jobs = self.published.clone();
        loop {
            let current = jobs.borrow_and_update().clone();
            if let Some(current) = current {
                let pushed = self.job.borrow().as_ref().map(|job| job.current.push);
                let template = &current.template;
                let line = JobTemplate::new(
                    template.header_base.as_bytes(),
                    template.network_target.as_bytes(),
                    template.height,
                    template.daemon_id.as_deref(),
                );
                let push = pushed != Some(current.push);
                *self.job.borrow_mut() = Some(Job { current: Arc::clone(&current), line });
                if push {
                    sessions.for_each(|session| self.push(session)).await;
                    pushes::done(&self.metrics, &current);
                }
            }
            if jobs.changed().await.is_err() {
                return;
            }
        }
    }
}
