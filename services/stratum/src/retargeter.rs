//! Share difficulty of one arbiter's sessions: what their shares show, which jobs follow from it, and what is kept of
//! it for the sessions after them.
//!
//! What it refuses to do: estimate. Each session's [`Vardiff`] does.
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use messages::facts::{Clock, WorkerIdentity};
use messages::share_ledger::NewShare;
use settings::VardiffSettings;
use units::Difficulty;

use crate::assignment::Assignment;
use crate::hints::{Hint, Hints, Worker};
use crate::job_pusher::JobPusher;
use crate::metrics::StratumMetrics;
use crate::pending::Pending;
use crate::session::{Miner, Session};
use crate::vardiff::{Known, Retarget, Start, Vardiff};

/// Drives the controllers of one arbiter's sessions.
pub(crate) struct Retargeter {
    settings: VardiffSettings,
    hints: Arc<Hints>,
    jobs: Rc<JobPusher>,
    clock: Clock,
    metrics: Arc<StratumMetrics>,
}

impl Retargeter {
    pub(crate) fn new(
        settings: VardiffSettings,
        hints: Arc<Hints>,
        jobs: Rc<JobPusher>,
        clock: Clock,
        metrics: Arc<StratumMetrics>,
    ) -> Rc<Retargeter> {
        Rc::new(Retargeter { settings, hints, jobs, clock, metrics })
    }

    // === shares ===

    /// Notes a share; pushes a job at once if the difficulty is far off, or if the job has had its fill of
    /// shares. Returns the next job's difficulty.
    pub(crate) fn accepted(&self, session: &Session, difficulty: Difficulty, now: Instant) -> Difficulty {
        let outcome = match session.miner.borrow_mut().as_mut() {
            Some(miner) => miner.vardiff.accepted(&self.settings, difficulty, now),
            None => return difficulty,
        };
        self.follow_up(session, outcome);
        let is_nearly_full = |miner: &Miner| miner.assignments.current().is_some_and(Assignment::is_nearly_full);
        if session.miner.borrow().as_ref().is_some_and(is_nearly_full) {
            self.jobs.push(session);
        }
        session.miner.borrow().as_ref().map_or(difficulty, Miner::next_difficulty)
    }

    /// Whether shares come too fast because the difficulty that they should have was not found yet.
    pub(crate) fn may_become_harder(&self, session: &Session) -> bool {
        let settings = &self.settings;
        let may =
            |job: &Assignment| settings.enabled && job.difficulty < settings.max.min(job.template.network_difficulty);
        session.miner.borrow().as_ref().and_then(|miner| miner.assignments.current()).is_some_and(may)
    }

    /// A share that the submit rate refuses still shows how fast its miner is: without it the harder job that ends the
    /// refusals would wait until the rate lets shares through again. Whoever makes one up makes his own shares harder.
    pub(crate) fn note_excess(&self, pending: &Pending, share: &NewShare) {
        let is_new = |miner: &mut Miner| miner.assignments.note_excess(pending.job_id, share.nonce);
        if pending.session.miner.borrow_mut().as_mut().is_some_and(is_new) {
            self.accepted(&pending.session, share.difficulty, Instant::now());
        }
    }

    /// Does what a look at a session's rate asks for.
    fn follow_up(&self, session: &Session, outcome: Retarget) {
        match outcome {
            Retarget::Keep => {}
            Retarget::NextJob => self.metrics.retargets_deferred_total.add(1),
            // The network's difficulty bounds both: a new job may not differ from the current one.
            Retarget::Now if session.miner.borrow().as_ref().is_some_and(Miner::differs) => {
                self.metrics.retargets_pushed_total.add(1);
                self.jobs.push(session);
            }
            Retarget::Now => {}
        }
    }

    // === sessions ===

    /// The controller of a session that logs in as `line` and wishes for a difficulty.
    pub(crate) fn start(&self, line: &WorkerIdentity, wish: Option<u64>, now: Instant) -> Vardiff {
        let start = Start::new(&self.settings, self.known(line), wish);
        Vardiff::new(&self.settings, start, now)
    }

    /// What an earlier session measured.
    fn known(&self, line: &WorkerIdentity) -> Option<Known> {
        let hint = self.hints.find(&worker(line))?;
        let age = (self.clock)().since(hint.measured_at);
        Some(Known { difficulty: hint.difficulty, age, same_origin: hint.origin == line.origin })
    }

    /// Looks at a session's silence, and adds what it has measured to `measured` when that is due.
    pub(crate) fn look(&self, session: &Session, now: Instant, measured: &mut Vec<(Worker, Hint)>) {
        let looked = session.miner.borrow_mut().as_mut().map(|miner| {
            let note = miner.vardiff.next_note(&self.settings, now);
            measured.extend(note.map(|note| self.hint(&miner.line, note, now)));
            miner.vardiff.look(&self.settings, now)
        });
        self.follow_up(session, looked.unwrap_or(Retarget::Keep));
    }

    /// Keeps what running sessions have measured.
    pub(crate) fn note(&self, measured: Vec<(Worker, Hint)>) {
        if !measured.is_empty() {
            self.hints.note(measured);
        }
    }

    /// Keeps what a session that ends has measured.
    pub(crate) fn note_measured(&self, session: &Session, now: Instant) {
        let miner = session.miner.borrow();
        let Some(miner) = miner.as_ref() else { return };
        if let Some(measured) = miner.vardiff.measured(&self.settings) {
            self.hints.note([self.hint(&miner.line, measured, now)]);
        }
    }

    /// A measurement as later sessions may use it.
    fn hint(&self, line: &WorkerIdentity, measured: (Difficulty, Instant), now: Instant) -> (Worker, Hint) {
        let (difficulty, heard_at) = measured;
        let measured_at = (self.clock)().minus(now.saturating_duration_since(heard_at));
        (worker(line), Hint { difficulty, measured_at, origin: line.origin })
    }
}

/// The worker that hints are kept for.
fn worker(line: &WorkerIdentity) -> Worker {
    (Arc::clone(&line.address), Arc::clone(&line.worker))
}
