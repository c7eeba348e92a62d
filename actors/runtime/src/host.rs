//! One process: the actors it keeps, each on a thread of its own, the clock they hear, the order they stop in.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_rt::Arbiter;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use crate::actor_ref::Slot;
use crate::core::{Board, Core, Health, Quit};
use crate::host_failure::HostFailure;
use crate::policy::Policy;
use crate::supervisor::supervise;
use crate::task::{Task, spawn};
use crate::watchdog::{Stuck, Watchdog};
use crate::{Actor, ActorHandle, ActorRef, Handler, Message};

/// The actors of one process. Made and run inside [`block_on`](crate::block_on).
pub struct Host {
    kept: Vec<HostedActor>,
    /// One per clock; they end with the host.
    ticks: Vec<Task>,
    board: Board,
    gave_up_tx: mpsc::Sender<HostFailure>,
    gave_up: mpsc::Receiver<HostFailure>,
    watchdog: Option<Watchdog>,
}

struct HostedActor {
    core: Arc<Core>,
    port: Arc<dyn ActorHandle>,
    arbiter: Arbiter,
}

// === impl Host ===

impl Host {
    /// A host with a watchdog: `on_stuck` is called once, on a thread of its own, when an actor's thread has not turned
    /// for twice its `stall_after`. Nothing else can be done then: a binary ends the process.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn with_watchdog(on_stuck: impl FnOnce(Stuck) + Send + 'static) -> std::io::Result<Self> {
        Ok(Host { watchdog: Some(Watchdog::start(on_stuck)?), ..Host::default() })
    }

    /// Keeps an actor alive on an arbiter of its own. Start the last stage first: a host is drained in the opposite
    /// order, so messages always have somewhere to go. The factory is called on that arbiter, once per generation.
    ///
    /// # Panics
    /// The actor was started before; not inside `block_on`; the operating system gives no thread.
    pub fn start<A, F>(&mut self, actor: &ActorRef<A>, policy: Policy, factory: F)
    where
        A: Actor,
        F: Fn() -> A + Send + 'static,
    {
        let core = Arc::clone(&actor.0.core);
        core.claim(&self.board);
        core.set_health(Health::Starting);
        let arbiter = Arbiter::new();
        let (slot, gave_up): (Arc<Slot<A>>, _) = (Arc::clone(&actor.0), self.gave_up_tx.clone());
        // `spawn_fn`, not `spawn`: what follows is not `Send` and must be made on the arbiter.
        let started = arbiter.spawn_fn(move || drop(actix_rt::spawn(supervise(slot, policy, factory, gave_up))));
        assert!(started, "a new arbiter listens");
        if let Some(watchdog) = &self.watchdog {
            watchdog.watch(Arc::clone(&core), policy.stall_after);
        }
        self.kept.push(HostedActor { core, port: actor.port(), arbiter });
    }

    /// The host's clock: tells the actor `make()` at once and then once per `every`, through its bound. A tick is left
    /// out, and counted, while the one before is not answered or there is no place. It stops when the actor drains.
    pub fn tick<A, M>(&mut self, actor: &ActorRef<A>, every: Duration, make: impl Fn() -> M + 'static)
    where
        A: Handler<M>,
        M: Message,
    {
        self.ticks.push(spawn(tick(actor.clone(), every, make)));
    }

    /// Everyone's health, in order of start.
    #[must_use]
    pub fn health(&self) -> Vec<(&'static str, Health)> {
        self.board.borrow().clone()
    }

    /// Everyone's health as a level to wait on. Outlives the host.
    #[must_use]
    pub fn health_watch(&self) -> watch::Receiver<Vec<(&'static str, Health)>> {
        self.board.subscribe()
    }

    /// Everyone's figures, in order of start. They outlive the host.
    #[must_use]
    pub fn ports(&self) -> Vec<Arc<dyn ActorHandle>> {
        self.kept.iter().map(|kept| Arc::clone(&kept.port)).collect()
    }

    /// Runs until `shutdown` resolves or an actor has spent its budget, then drains: in reverse order of start, each
    /// actor first finishes all that it has accepted, carried work included, and then stops. What is not finished
    /// when its part of `grace` is over is cut off, with a warning; `grace` bounds the whole drain, and a stage that
    /// needs less leaves more to those behind it.
    ///
    /// # Errors
    /// Says which actor gave up. The others have been drained all the same.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>, grace: Duration) -> Result<(), HostFailure> {
        let ending = tokio::select! {
            () = shutdown => Ok(()),
            Some(failure) = self.gave_up.recv() => Err(failure),
        };
        match &ending {
            Ok(()) => info!("draining"),
            Err(failure) => error!(%failure, "draining"),
        }
        let deadline = Instant::now() + grace;
        for (behind, kept) in self.kept.iter().enumerate().rev() {
            let left = deadline.saturating_duration_since(Instant::now());
            // Half of what is left: one slow stage must not eat up the time of those that write to the disk.
            kept.drain(if behind == 0 { left } else { left / 2 }).await;
        }
        ending
    }
}

impl Default for Host {
    /// A host without a watchdog, for tests.
    fn default() -> Self {
        let (gave_up_tx, gave_up) = mpsc::channel(1);
        Host { kept: Vec::new(), ticks: Vec::new(), board: Board::default(), gave_up_tx, gave_up, watchdog: None }
    }
}

async fn tick<A, M>(actor: ActorRef<A>, every: Duration, make: impl Fn() -> M)
where
    A: Handler<M>,
    M: Message,
{
    let core = &actor.0.core;
    let quits = core.quits();
    let mut beats = interval(every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut before: Option<oneshot::Receiver<M::Reply>> = None;
    loop {
        beats.tick().await;
        if *quits.borrow() != Quit::Run {
            return;
        }
        let unanswered = before.as_mut().is_some_and(|rx| matches!(rx.try_recv(), Err(TryRecvError::Empty)));
        let (tx, rx) = oneshot::channel();
        if unanswered || actor.0.post(make(), Some(tx)).is_err() {
            core.ticks_skipped.fetch_add(1, Ordering::Relaxed);
        } else {
            before = Some(rx);
        }
    }
}

// === impl HostedActor ===

impl HostedActor {
    async fn drain(&self, allowance: Duration) {
        let finished = || self.core.reached(|status| status.health == Health::Finished);
        self.core.order(Quit::Drain);
        if timeout(allowance, finished()).await.is_ok() {
            info!(actor = self.core.name, "actor drained");
            return;
        }
        warn!(actor = self.core.name, depth = self.core.depth(), ?allowance, "actor did not drain in time, cut off");
        self.core.order(Quit::Abort);
        // An arbiter that does not even turn is left behind.
        drop(timeout(Duration::from_millis(200), finished()).await);
    }
}

impl Drop for HostedActor {
    fn drop(&mut self) {
        self.arbiter.stop(); // False when it has already ended.
    }
}
