//! The part of an actor that outlives its generations and knows no types: places, counters, health.
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::exit::Exit;
use crate::handled::{Handled, Restarts};
use crate::loop_progress::LoopProgress;

/// How many messages may be accepted and not yet answered: queued, being handled or deferred.
/// There is no default: a port cannot be made without saying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Places for ordinary messages.
    pub messages: usize,
    /// Places for messages whose type is `URGENT`. With none, all of those are refused.
    pub urgent: usize,
}

/// What an operator sees of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No host has started it.
    Unbound,
    /// Its first generation is opening.
    Starting,
    /// `open` has returned `Ok`.
    Up,
    /// It failed and rests before the next generation, or that one is opening.
    Restarting,
    /// Its restart budget is spent.
    Down,
    /// The host ends: it finishes what it has accepted.
    Draining,
    /// It will not come back in this process: drained, or given up.
    Finished,
}

/// Health and the number of the generation that it is about, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// How many times the factory was called.
    pub generation: u64,
    /// See [`Health`].
    pub health: Health,
}

/// What the host wants of an actor. Only ever rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quit {
    Run,
    /// Finish what was accepted, then stop.
    Drain,
    /// The time for that is over.
    Abort,
}

/// The host's list of everyone's health, in order of start.
pub(crate) type Board = watch::Sender<Vec<(&'static str, Health)>>;

#[derive(Debug)]
struct Pool {
    taken: AtomicUsize,
    places: usize,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) name: &'static str,
    messages: Pool,
    urgent: Pool,
    /// Rung when the last place is given back.
    idle: Notify,
    pub(crate) refused: AtomicU64,
    pub(crate) down: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) ticks_skipped: AtomicU64,
    faulted: AtomicU64,
    panicked: AtomicU64,
    killed: AtomicU64,
    handled: Mutex<Vec<Handled>>,
    status: watch::Sender<Status>,
    quit: watch::Sender<Quit>,
    /// The generation whose carried work panicked last, and its last words.
    crash: watch::Sender<(u64, String)>,
    board: OnceLock<(Board, usize)>,
    started: AtomicBool,
    /// Of the arbiter.
    pub(crate) pulse: Arc<LoopProgress>,
    /// Milliseconds since `epoch` at which the work in hand was taken; 0 when idle.
    busy_since_ms: AtomicU64,
    epoch: Instant,
}

/// A place in an actor's bound. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct MailboxPermit {
    pub(crate) core: Arc<Core>,
    urgent: bool,
}

// === impl Pool ===

impl Pool {
    fn new(places: usize) -> Self {
        Pool { taken: AtomicUsize::new(0), places }
    }

    fn take(&self) -> bool {
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| (taken < self.places).then(|| taken + 1))
            .is_ok()
    }

    fn depth(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

// === impl MailboxPermit ===

impl MailboxPermit {
    pub(crate) fn take(core: &Arc<Core>, urgent: bool) -> Option<MailboxPermit> {
        core.pool(urgent).take().then(|| MailboxPermit { core: Arc::clone(core), urgent })
    }
}

impl Drop for MailboxPermit {
    fn drop(&mut self) {
        self.core.pool(self.urgent).taken.fetch_sub(1, Ordering::SeqCst);
        if self.core.depth() == 0 {
            self.core.idle.notify_waiters();
        }
    }
}

// === impl Core ===

impl Core {
    pub(crate) fn new(name: &'static str, limits: Limits) -> Self {
        Core {
            name,
            messages: Pool::new(limits.messages),
            urgent: Pool::new(limits.urgent),
            idle: Notify::new(),
            refused: AtomicU64::new(0),
            down: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            late: AtomicU64::new(0),
            ticks_skipped: AtomicU64::new(0),
            faulted: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            killed: AtomicU64::new(0),
            handled: Mutex::new(Vec::new()),
            status: watch::Sender::new(Status { generation: 0, health: Health::Unbound }),
            quit: watch::Sender::new(Quit::Run),
            crash: watch::Sender::new((0, String::new())),
            board: OnceLock::new(),
            started: AtomicBool::new(false),
            pulse: LoopProgress::new(name),
            busy_since_ms: AtomicU64::new(0),
            epoch: Instant::now(),
        }
    }

    fn pool(&self, urgent: bool) -> &Pool {
        if urgent { &self.urgent } else { &self.messages }
    }

    pub(crate) fn depth(&self) -> usize {
        self.messages.depth() + self.urgent.depth()
    }

    pub(crate) fn urgent_depth(&self) -> usize {
        self.urgent.depth()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { messages: self.messages.places, urgent: self.urgent.places }
    }

    /// Resolves when nothing is queued, in hand or deferred.
    pub(crate) async fn drained(&self) {
        loop {
            let rung = self.idle.notified();
            tokio::pin!(rung);
            rung.as_mut().enable(); // Before looking, or a bell between the look and the wait is missed.
            if self.depth() == 0 {
                return;
            }
            rung.await;
        }
    }

    pub(crate) fn status(&self) -> Status {
        *self.status.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(crate) async fn reached(&self, wanted: impl Fn(Status) -> bool) -> Status {
        let mut statuses = self.watch();
        let reached = statuses.wait_for(|status| wanted(*status)).await;
        *reached.expect("`self` holds the sender")
    }

    pub(crate) fn set_health(&self, health: Health) {
        // The board first: whoever waited for this actor's status finds the host's list in step.
        if let Some((board, row)) = self.board.get() {
            board.send_modify(|rows| rows[*row].1 = health);
        }
        self.status.send_modify(|status| status.health = health);
    }

    /// Opens the next generation and answers its number.
    pub(crate) fn next_generation(&self) -> u64 {
        let generation = self.status().generation + 1;
        let health = if generation == 1 { Health::Starting } else { Health::Restarting };
        self.status.send_modify(|status| status.generation = generation);
        self.set_health(health);
        generation
    }

    /// Binds the actor to a host, once.
    pub(crate) fn claim(&self, board: &Board) {
        assert!(!self.started.swap(true, Ordering::SeqCst), "actor {} is started twice", self.name);
        let mut row = 0;
        board.send_modify(|rows| {
            row = rows.len();
            rows.push((self.name, Health::Unbound));
        });
        assert!(self.board.set((board.clone(), row)).is_ok(), "claimed once only");
    }

    pub(crate) fn quits(&self) -> watch::Receiver<Quit> {
        self.quit.subscribe()
    }

    pub(crate) fn order(&self, quit: Quit) {
        self.quit.send_modify(|now| *now = quit.max(*now));
    }

    /// Reports that carried work panicked: the actor that sent it off may not be trusted any more either.
    pub(crate) fn crash(&self, generation: u64, text: String) {
        self.crash.send_replace((generation, text));
    }

    /// Resolves with the last words when work that `generation` carried has panicked.
    pub(crate) async fn crashed(&self, generation: u64) -> String {
        let mut crashes = self.crash.subscribe();
        let crash = crashes.wait_for(|(of, _)| *of == generation).await;
        crash.expect("`self` holds the sender").1.clone()
    }

    pub(crate) fn mark_busy(&self) {
        let now_ms = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.busy_since_ms.store(now_ms.max(1), Ordering::Release);
    }

    pub(crate) fn mark_idle(&self) {
        self.busy_since_ms.store(0, Ordering::Release);
    }

    pub(crate) fn busy_for(&self) -> Duration {
        match self.busy_since_ms.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since_ms => self.epoch.elapsed().saturating_sub(Duration::from_millis(since_ms)),
        }
    }

    pub(crate) fn count_exit(&self, exit: &Exit) {
        let counter = match exit {
            Exit::Stopped => return,
            Exit::Faulted(_) => &self.faulted,
            Exit::Panicked(_) => &self.panicked,
            Exit::Killed => &self.killed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn restarts(&self) -> Restarts {
        Restarts {
            faulted: self.faulted.load(Ordering::Relaxed),
            panicked: self.panicked.load(Ordering::Relaxed),
            killed: self.killed.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn count_handled(&self, msg: &'static str, took: Duration, faulted: bool) {
        let mut kinds = self.kinds();
        let row = kinds.iter().position(|kind| kind.msg == msg).unwrap_or_else(|| {
            kinds.push(Handled::new(msg));
            kinds.len() - 1
        });
        kinds[row].add(took, faulted);
    }

    /// One uncontended lock per message handled; metrics look every few seconds.
    pub(crate) fn kinds(&self) -> MutexGuard<'_, Vec<Handled>> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
