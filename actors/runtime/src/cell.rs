//! The actix side of an actor: takes one envelope at a time.
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::{ActorContext, ActorFutureExt, AtomicResponse, Context, ContextFutureSpawner, WrapFuture};
use tokio::task::coop::consume_budget;
use tracing::{Instrument, Span, info, info_span};

use crate::core::{Core, Health};
use crate::reply::Reply;
use crate::{Actor, Fault, Handler, Message};

/// A message on its way, with the right to answer it.
pub(crate) struct Envelope<M: Message> {
    pub(crate) msg: M,
    pub(crate) reply: Reply<M>,
}

/// The host's request for a quiet end. It comes after everything that was accepted.
pub(crate) struct Stop;

/// A fault drill: the next thing the actor does.
pub(crate) enum FaultInjection {
    Panic,
    /// Blocks the thread.
    Hang,
}

/// Where the cell leaves the reason for its end; only its supervisor, on the same thread, reads it.
pub(crate) type LastFault = Rc<RefCell<Option<Fault>>>;

pub(crate) struct ActorCell<A: Actor> {
    /// Absent while a handler has it.
    actor: Option<A>,
    core: Arc<Core>,
    fault: LastFault,
}

impl<M: Message> actix::Message for Envelope<M> {
    type Result = ();
}

impl actix::Message for Stop {
    type Result = ();
}

impl actix::Message for FaultInjection {
    type Result = ();
}

// === impl ActorCell ===

impl<A: Actor> ActorCell<A> {
    pub(crate) fn new(actor: A, core: Arc<Core>, fault: LastFault) -> Self {
        ActorCell { actor: Some(actor), core, fault }
    }

    fn take(&mut self) -> A {
        self.actor.take().expect("one envelope at a time: `wait` holds the mailbox")
    }

    /// Takes the actor back after `open` or a message.
    fn settle(&mut self, actor: A, outcome: Result<(), Fault>, ctx: &mut Context<Self>) {
        self.actor = Some(actor);
        self.core.mark_idle();
        if let Err(fault) = outcome {
            *self.fault.borrow_mut() = Some(fault);
            ctx.stop();
        }
    }
}

impl<A: Actor> actix::Actor for ActorCell<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut actor = self.take();
        let opening = async move {
            let outcome = actor.open().await;
            (actor, outcome)
        };
        let settled = opening.into_actor(self).map(|(actor, outcome), cell, ctx| {
            let status = cell.core.status();
            if outcome.is_ok() && status.health != Health::Draining {
                cell.core.set_health(Health::Up);
                info!(actor = A::NAME, generation = status.generation, "actor up");
            }
            cell.settle(actor, outcome, ctx);
        });
        settled.wait(ctx); // `wait` keeps the mailbox shut until the actor has opened.
    }
}

impl<A, M> actix::Handler<Envelope<M>> for ActorCell<A>
where
    A: Handler<M>,
    M: Message,
{
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, envelope: Envelope<M>, _: &mut Self::Context) -> Self::Result {
        self.core.mark_busy();
        let Envelope { msg, mut reply } = envelope;
        let span = handle_span::<A, M>(&reply);
        reply.set_span(&span);
        let mut actor = self.take();
        let work = async move {
            // actix empties a mailbox in one poll; this lets the supervisor and carried work have their turns.
            consume_budget().await;
            let started = Instant::now();
            let outcome = actor.handle(msg, reply).await;
            (actor, outcome, started.elapsed())
        };
        AtomicResponse::new(Box::pin(work.instrument(span).into_actor(self).map(
            |(actor, outcome, took), cell: &mut Self, ctx| {
                cell.core.count_handled(M::NAME, took, outcome.is_err());
                cell.settle(actor, outcome, ctx);
            },
        )))
    }
}

/// Child of the asker's span. Who only told may be long gone, so a told message begins a span that follows its sender's.
fn handle_span<A: Actor, M: Message>(reply: &Reply<M>) -> Span {
    if reply.is_asked() {
        return info_span!(parent: reply.span(), "handle", actor = A::NAME, msg = M::NAME);
    }
    let span = info_span!(parent: None, "handle", actor = A::NAME, msg = M::NAME);
    span.follows_from(reply.span());
    span
}

impl<A: Actor> actix::Handler<Stop> for ActorCell<A> {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        self.core.mark_busy();
        let mut actor = self.take();
        let closing = async move {
            actor.close().await;
            actor
        };
        AtomicResponse::new(Box::pin(closing.into_actor(self).map(|actor, cell: &mut Self, ctx| {
            cell.settle(actor, Ok(()), ctx);
            ctx.stop();
        })))
    }
}

impl<A: Actor> actix::Handler<FaultInjection> for ActorCell<A> {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, drill: FaultInjection, _: &mut Self::Context) -> Self::Result {
        let actor = self.take();
        // Inside a future that owns the actor, as a panic of its own handler would be.
        let drill = async move {
            let _actor = actor;
            match drill {
                FaultInjection::Panic => panic!("injected into {}", A::NAME),
                FaultInjection::Hang => loop {
                    std::thread::park();
                },
            }
        };
        AtomicResponse::new(Box::pin(drill.into_actor(self)))
    }
}
