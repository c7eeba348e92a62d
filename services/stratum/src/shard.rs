//! One arbiter's share of the front: its sessions, the job they mine, the timers.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::closed::CloseReason;
use messages::facts::{CurrentJob, Notice, Restrictions, SessionId};
use messages::share_ledger::{AppendEvents, AppendRefusal, NewShare};
use runtime::AskError;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use units::Difficulty;
use wire::JobTemplate;

use crate::accept::{ListenerKind, Shared};
use crate::assignment::Assignment;
use crate::connection_limiter::ConnectionPermit;
use crate::ledger_link::{LedgerLink, Pending};
use crate::pushes::Pushes;
use crate::ranges::Ranges;
use crate::rejects::Rejects;
use crate::session::{Miner, Session};
use crate::vardiff::Retarget;
use crate::{LEDGER_PATIENCE, StratumParts};

/// Sessions that a broadcast serves before it lets others run.
const SESSIONS_PER_TURN: usize = 256;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(TICK_MS);
const TICK_MS: u64 = 1_000;

/// What all sessions share of a job.
struct Job {
    current: Arc<CurrentJob>,
    line: JobTemplate,
}

/// One arbiter's front. Everything here is thread-local: no lock, no shared map.
pub(crate) struct StratumShard {
    pub(crate) parts: StratumParts,
    pub(crate) shared: Arc<Shared>,
    pub(crate) link: LedgerLink,
    pub(crate) restrictions: RefCell<Arc<Restrictions>>,
    pub(crate) rejects: RefCell<Rejects>,
    /// Some of them are under way to the log. The others wait, so that what may come back is bounded.
    logs_rejects: Cell<bool>,
    job: RefCell<Option<Job>>,
    ranges: RefCell<Ranges>,
    sessions: RefCell<Vec<Option<Rc<Session>>>>,
    pushes: Pushes,
    free: RefCell<Vec<usize>>,
    open: Cell<usize>,
    emptied: Notify,
    draining: Cell<bool>,
}

impl StratumShard {
    pub(crate) fn new(parts: StratumParts, shared: Arc<Shared>, arbiter: u8) -> Rc<StratumShard> {
        let restrictions = RefCell::new(Arc::clone(&parts.restrictions.borrow()));
        let ranges = RefCell::new(Ranges::new(parts.era, arbiter));
        Rc::new(StratumShard {
            parts,
            shared,
            link: LedgerLink::default(),
            restrictions,
            rejects: RefCell::default(),
            logs_rejects: Cell::default(),
            job: RefCell::default(),
            ranges,
            sessions: RefCell::default(),
            pushes: Pushes::new(),
            free: RefCell::default(),
            open: Cell::new(0),
            emptied: Notify::new(),
            draining: Cell::new(false),
        })
    }

    /// Starts the loops that listen to facts and clocks. They end with the arbiter.
    pub(crate) fn start(self: &Rc<Self>) {
        actix_rt::spawn(Rc::clone(self).append_loop());
        actix_rt::spawn(Rc::clone(self).follow_jobs());
        actix_rt::spawn(Rc::clone(self).follow_restrictions());
        actix_rt::spawn(Rc::clone(self).follow_notices());
        actix_rt::spawn(Rc::clone(self).tick());
    }

    // === sessions ===

    /// Serves a connection until it ends.
    pub(crate) async fn serve(
        self: Rc<Self>,
        stream: tokio::net::TcpStream,
        place: ConnectionPermit,
        door: ListenerKind,
    ) {
        let (id, origin) = (self.parts.sessions.take(), self.parts.salt.origin(place.peer.address));
        let session = Rc::new(Session::new(id, stream, door, origin, place));
        let slot = self.enter(&session);
        let reason = Rc::clone(&session).run(Rc::clone(&self)).await;
        self.leave(slot, &session, reason);
    }

    fn enter(&self, session: &Rc<Session>) -> usize {
        let mut sessions = self.sessions.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            sessions.push(None);
            sessions.len() - 1
        });
        sessions[slot] = Some(Rc::clone(session));
        self.open.set(self.open.get() + 1);
        self.parts.counters.stratum_connections.add(1);
        slot
    }

    fn leave(&self, slot: usize, session: &Session, reason: CloseReason) {
        self.note_measured(session, Instant::now());
        self.sessions.borrow_mut()[slot] = None;
        self.free.borrow_mut().push(slot);
        self.open.set(self.open.get() - 1);
        self.parts.counters.stratum_connections.sub(1);
        if session.counted.get() {
            self.parts.counters.stratum_sessions.sub(1);
        }
        self.parts.counters.stratum_closed.add(reason);
        match reason {
            CloseReason::SlowReader => self.parts.counters.stratum_slow_readers_total.add(1),
            CloseReason::LineTooLong
            | CloseReason::NotUtf8
            | CloseReason::InvalidLines
            | CloseReason::Bytes
            | CloseReason::LoginDeadline
            | CloseReason::TlsDeadline => self.shared.gate.strike(session.place.peer, reason, Instant::now()),
            // A slow line, a bad certificate, a limit: honest miners have these too.
            _ => {}
        }
        if self.open.get() == 0 {
            self.emptied.notify_one();
        }
    }

    /// Calls `each` for every session, letting others run in between.
    async fn for_each_session(&self, mut each: impl FnMut(&Rc<Session>)) {
        let mut slot = 0;
        loop {
            let session = match self.sessions.borrow().get(slot) {
                None => return,
                Some(session) => session.clone(),
            };
            if let Some(session) = session {
                each(&session);
            }
            slot += 1;
            if slot.is_multiple_of(SESSIONS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Lets every session finish what has arrived, and returns when all are gone.
    pub(crate) async fn drain(&self) {
        self.draining.set(true);
        self.for_each_session(|session| session.drain()).await;
        while self.open.get() > 0 {
            self.emptied.notified().await;
        }
        self.offer_again();
        self.log_rejects().await;
    }

    // === jobs ===

    /// Name of the current template in stale texts.
    pub(crate) fn current_uid(&self) -> Option<u64> {
        self.job.borrow().as_ref().map(|job| job.current.template.uid())
    }

    /// Gives a session a new job, if there is one to give. One that is withheld is given at the first tick that can.
    pub(crate) fn push_job(&self, session: &Session) {
        let job = self.job.borrow();
        let (Some(job), mut miner) = (job.as_ref(), session.miner.borrow_mut()) else { return };
        let Some(miner) = miner.as_mut() else { return };
        let template = &job.current.template;
        // Never above the network's: a miner would keep blocks to itself.
        let difficulty = miner.vardiff.difficulty().min(template.network_difficulty);
        let now = Instant::now();
        let has_room = miner.assignments.make_room(now, self.parts.settings.stale_grace);
        let range = has_room.then(|| self.ranges.borrow_mut().take(template.local_id)).flatten();
        miner.is_owed_job = range.is_none();
        let Some(range) = range else { return self.parts.counters.jobs_withheld_total.add(1) };
        let assignment = Assignment::new(range, Arc::clone(template), difficulty, Arc::clone(&miner.line), now);
        let target_hex = wire::hash_hex(assignment.target.as_bytes());
        if let Some(current) = miner.assignments.current() {
            Pushes::interrupt(&self.parts.counters, current, &miner.line, template, now);
        }
        miner.vardiff.assigned(difficulty, now);
        miner.assignments.push(assignment, now);
        self.parts.counters.jobs_pushed_total.add(1);
        session.write(|out| {
            let (nonce_first, nonce_last) = (range.first, range.last);
            let patch =
                wire::Assignment { job_id: range.job_id, difficulty, target_hex: &target_hex, nonce_first, nonce_last };
            job.line.write_job(out, &patch);
        });
    }

    /// Notes a share; pushes a job at once if the difficulty is far off, or if the job has had its fill of
    /// shares. Returns the next job's difficulty.
    pub(crate) fn retarget(&self, session: &Session, difficulty: Difficulty, now: Instant) -> Difficulty {
        let outcome = match session.miner.borrow_mut().as_mut() {
            Some(miner) => miner.vardiff.accepted(&self.parts.vardiff, difficulty, now),
            None => return difficulty,
        };
        self.follow_up(session, outcome);
        let is_nearly_full = |miner: &Miner| miner.assignments.current().is_some_and(Assignment::is_nearly_full);
        if session.miner.borrow().as_ref().is_some_and(is_nearly_full) {
            self.push_job(session);
        }
        session.miner.borrow().as_ref().map_or(difficulty, Miner::next_difficulty)
    }

    /// Whether shares come too fast because the difficulty that they should have was not found yet.
    pub(crate) fn may_become_harder(&self, session: &Session) -> bool {
        let vardiff = &self.parts.vardiff;
        let may =
            |job: &Assignment| vardiff.enabled && job.difficulty < vardiff.max.min(job.template.network_difficulty);
        session.miner.borrow().as_ref().and_then(|miner| miner.assignments.current()).is_some_and(may)
    }

    /// A share that the submit rate refuses still shows how fast its miner is: without it the harder job that ends the
    /// refusals would wait until the rate lets shares through again. Whoever makes one up makes his own shares harder.
    pub(crate) fn note_excess(&self, pending: &Pending, share: &NewShare) {
        let is_new = |miner: &mut Miner| miner.assignments.note_excess(pending.job_id, share.nonce);
        if pending.session.miner.borrow_mut().as_mut().is_some_and(is_new) {
            self.retarget(&pending.session, share.difficulty, Instant::now());
        }
    }

    /// Does what a look at a session's rate asks for.
    fn follow_up(&self, session: &Session, outcome: Retarget) {
        let counters = &self.parts.counters;
        match outcome {
            Retarget::Keep => {}
            Retarget::NextJob => counters.retargets_deferred_total.add(1),
            // The network's difficulty bounds both: a new job may not differ from the current one.
            Retarget::Now if session.miner.borrow().as_ref().is_some_and(Miner::differs) => {
                counters.retargets_pushed_total.add(1);
                self.push_job(session);
            }
            Retarget::Now => {}
        }
    }

    async fn follow_jobs(self: Rc<Self>) {
        let mut jobs = self.parts.jobs.clone();
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
                    self.for_each_session(|session| self.push_job(session)).await;
                    self.pushes.done(&current);
                }
            }
            if jobs.changed().await.is_err() {
                return;
            }
        }
    }

    // === other facts ===

    async fn follow_restrictions(self: Rc<Self>) {
        let mut restrictions: watch::Receiver<Arc<Restrictions>> = self.parts.restrictions.clone();
        while restrictions.changed().await.is_ok() {
            let now = Arc::clone(&restrictions.borrow_and_update());
            *self.restrictions.borrow_mut() = now;
        }
    }

    async fn follow_notices(self: Rc<Self>) {
        let mut notices = self.parts.notices.subscribe();
        loop {
            match notices.recv().await {
                Ok(Notice::BlockSolved { finder }) => self.announce_block(finder).await,
                Err(RecvError::Lagged(missed)) => self.parts.counters.notices_missed_total.add(missed),
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn announce_block(&self, finder: Option<SessionId>) {
        self.for_each_session(|session| {
            if session.miner.borrow().is_none() {
                return;
            }
            session.write(|out| {
                if Some(session.id) == finder {
                    wire::write_notification(out, wire::Notice::MinerBlockFound, "you found a block for the pool");
                }
                wire::write_notification(
                    out,
                    wire::Notice::PoolBlockSolved,
                    "the pool found a block, its reward waits for confirmations",
                );
            });
        })
        .await;
    }

    // === timers ===

    async fn tick(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let mut measured = Vec::new();
            let mut mining = 0;
            self.for_each_session(|session| {
                session.look(&self, now);
                mining += u64::from(self.is_mining(session));
                let looked = session.miner.borrow_mut().as_mut().map(|miner| {
                    let note = miner.vardiff.next_note(&self.parts.vardiff, now);
                    measured.extend(note.map(|note| self.hint(&miner.line, note, now)));
                    miner.vardiff.look(&self.parts.vardiff, now)
                });
                self.follow_up(session, looked.unwrap_or(Retarget::Keep));
            })
            .await;
            if !measured.is_empty() {
                self.parts.hints.note(measured);
            }
            self.parts.counters.stratum_mining_ms_total.add(mining * TICK_MS);
            self.offer_again();
            self.look_at_doubts();
            if !self.logs_rejects.replace(true) {
                let front = Rc::clone(&self);
                actix_rt::spawn(async move {
                    front.log_rejects().await;
                    front.logs_rejects.set(false);
                });
            }
        }
    }

    /// Whether it has a job; one that is owed one is given it.
    fn is_mining(&self, session: &Session) -> bool {
        if session.miner.borrow().as_ref().is_some_and(|miner| miner.is_owed_job) {
            self.push_job(session);
        }
        session.miner.borrow().as_ref().is_some_and(|miner| miner.assignments.current().is_some())
    }

    /// Hands the counts to the log. What is certainly not there is counted again; what may be there is not.
    async fn log_rejects(&self) {
        let events = self.rejects.borrow_mut().take();
        if events.is_empty() {
            return;
        }
        let uncounted = match self.parts.events.ask(AppendEvents(events.clone()), LEDGER_PATIENCE).await {
            Ok(Ok(_)) => 0,
            Ok(Err(AppendRefusal::Full)) | Err(AskError::Busy | AskError::Down) => {
                self.rejects.borrow_mut().put_back(events)
            }
            Ok(Err(AppendRefusal::Disk)) | Err(AskError::Lost | AskError::Late) => Rejects::sum(&events),
        };
        self.parts.counters.rejects_uncounted_total.add(uncounted);
    }
}
