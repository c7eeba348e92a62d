//! The only door to an actor.
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::Addr;
use actix::prelude::SendError;
use tokio::sync::{oneshot, watch};

use crate::actor_handle::ActorHandle;
use crate::ask::{AskError, Refused, answered};
use crate::cell::{ActorCell, Envelope, FaultInjection};
use crate::core::{Core, Health, Limits, MailboxPermit, Status};
use crate::handled::{Handled, Restarts};
use crate::loop_progress::LoopProgress;
use crate::reply::Reply;
use crate::{Actor, Handler, Message};

/// The address of an actor: outlives its generations, is cloned freely, and holds its bound exactly.
pub struct ActorRef<A: Actor>(pub(crate) Arc<Slot<A>>);

pub(crate) struct Slot<A: Actor> {
    pub(crate) core: Arc<Core>,
    addr: RwLock<Option<Addr<ActorCell<A>>>>,
}

// === impl Slot ===

impl<A: Actor> Slot<A> {
    pub(crate) fn bind(&self, addr: Option<Addr<ActorCell<A>>>) {
        *self.addr.write().unwrap_or_else(PoisonError::into_inner) = addr;
    }

    fn is_connected(&self) -> bool {
        self.addr.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Addr::connected)
    }

    /// `tx` is none for a message that is only told.
    pub(crate) fn post<M>(&self, msg: M, tx: Option<oneshot::Sender<M::Reply>>) -> Result<(), Refused<M>>
    where
        A: Handler<M>,
        M: Message,
    {
        let addr = self.addr.read().unwrap_or_else(PoisonError::into_inner);
        let Some(addr) = addr.as_ref() else {
            return Err(self.absent(msg));
        };
        let Some(ticket) = MailboxPermit::take(&self.core, M::URGENT) else {
            self.core.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::Busy(msg));
        };
        // The mailbox itself has no bound, so it is never `Full`: the ticket is the bound.
        match addr.try_send(Envelope { msg, reply: Reply::new(tx, Some(ticket)) }) {
            Ok(()) => Ok(()),
            Err(SendError::Full(back) | SendError::Closed(back)) => {
                back.reply.withdraw();
                Err(self.absent(back.msg))
            }
        }
    }

    pub(crate) fn count_late(&self) {
        self.core.late.fetch_add(1, Ordering::Relaxed);
    }

    fn inject(&self, drill: FaultInjection) -> bool {
        let addr = self.addr.read().unwrap_or_else(PoisonError::into_inner);
        addr.as_ref().is_some_and(|addr| addr.try_send(drill).is_ok())
    }

    /// No mailbox is open. Whoever is about to have one again is busy, everybody else is down.
    fn absent<M>(&self, msg: M) -> Refused<M> {
        let (counter, refused) = match self.core.status().health {
            Health::Starting | Health::Up | Health::Restarting => (&self.core.refused, Refused::Busy(msg)),
            Health::Unbound | Health::Down | Health::Draining | Health::Finished => {
                (&self.core.down, Refused::Down(msg))
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        refused
    }
}

// === impl ActorRef ===

impl<A: Actor> ActorRef<A> {
    /// An address for an actor that a [`Host`](crate::Host) will start: addresses first, then actors, so that two of
    /// them may know each other.
    #[must_use]
    pub fn unbound(limits: Limits) -> Self {
        ActorRef(Arc::new(Slot { core: Arc::new(Core::new(A::NAME, limits)), addr: RwLock::new(None) }))
    }

    /// Hands over a message without waiting for anything.
    ///
    /// # Errors
    /// Gives the message back when it was not accepted. Whether it is ever handled, nobody tells: use this for facts
    /// and ticks, and [`ask`](Self::ask) for everything that carries value.
    pub fn tell<M>(&self, msg: M) -> Result<(), Refused<M>>
    where
        A: Handler<M>,
        M: Message,
    {
        self.0.post(msg, None)
    }

    /// Hands over a message and waits for the answer, but no longer than `patience`. The message is handled even if
    /// this future is dropped.
    ///
    /// # Errors
    /// See [`AskError`]: `Busy` and `Down` are certain, `Lost` and `Late` leave the outcome open.
    pub async fn ask<M>(&self, msg: M, patience: Duration) -> Result<M::Reply, AskError>
    where
        A: Handler<M>,
        M: Message,
    {
        let (tx, rx) = oneshot::channel();
        self.0.post(msg, Some(tx))?;
        answered(rx, patience).await.inspect_err(|err| {
            if *err == AskError::Late {
                self.0.count_late();
            }
        })
    }

    /// Messages accepted and not yet answered.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.core.depth()
    }

    /// The most that [`depth`](Self::depth) can be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let limits = self.0.core.limits();
        limits.messages + limits.urgent
    }

    /// How many times the factory was called.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.core.status().generation
    }

    /// Whether it has opened and lives. For a moment after a death this may still say yes.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.core.status().health == Health::Up && self.0.is_connected()
    }

    /// How long the work in hand has been in hand; zero when idle. Readable from any thread.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        self.0.core.busy_for()
    }

    /// Health and generation as a level to wait on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.0.core.watch()
    }

    /// Waits until the actor is up, for as long as it takes.
    pub async fn wait_up(&self) {
        self.wait_generation(1).await;
    }

    /// Waits until this generation or a later one is up, for as long as it takes.
    pub async fn wait_generation(&self, generation: u64) {
        self.0.core.reached(|status| status.health == Health::Up && status.generation >= generation).await;
    }

    /// Waits for a health, for as long as it takes.
    pub async fn wait_health(&self, health: Health) {
        self.0.core.reached(|status| status.health == health).await;
    }

    /// Waits until nothing is queued, in hand or deferred, for as long as it takes.
    pub async fn wait_drained(&self) {
        self.0.core.drained().await;
    }

    /// What an operator may see of it.
    #[must_use]
    pub fn port(&self) -> Arc<dyn ActorHandle> {
        Arc::clone(&self.0) as Arc<dyn ActorHandle>
    }
}

impl<A: Actor> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        ActorRef(Arc::clone(&self.0)) // The `Addr` itself is never cloned: a clone of it would be under no bound.
    }
}

impl<A: Actor> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorRef").field("actor", &A::NAME).field("status", &self.0.core.status()).finish()
    }
}

// === impl ActorHandle for Slot ===

impl<A: Actor> ActorHandle for Slot<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }
    fn depth(&self) -> usize {
        self.core.depth()
    }
    fn capacity(&self) -> usize {
        let limits = self.core.limits();
        limits.messages + limits.urgent
    }
    fn urgent_depth(&self) -> usize {
        self.core.urgent_depth()
    }
    fn urgent_capacity(&self) -> usize {
        self.core.limits().urgent
    }
    fn refused(&self) -> u64 {
        self.core.refused.load(Ordering::Relaxed)
    }
    fn down(&self) -> u64 {
        self.core.down.load(Ordering::Relaxed)
    }
    fn lost(&self) -> u64 {
        self.core.lost.load(Ordering::Relaxed)
    }
    fn late(&self) -> u64 {
        self.core.late.load(Ordering::Relaxed)
    }
    fn ticks_skipped(&self) -> u64 {
        self.core.ticks_skipped.load(Ordering::Relaxed)
    }
    fn status(&self) -> Status {
        self.core.status()
    }
    fn busy_for(&self) -> Duration {
        self.core.busy_for()
    }
    fn restarts(&self) -> Restarts {
        self.core.restarts()
    }
    fn handled(&self) -> Vec<Handled> {
        self.core.kinds().clone()
    }
    fn pulse(&self) -> Arc<LoopProgress> {
        Arc::clone(&self.core.pulse)
    }
    fn inject_panic(&self) -> bool {
        self.inject(FaultInjection::Panic)
    }
    fn inject_hang(&self) -> bool {
        self.inject(FaultInjection::Hang)
    }
}
