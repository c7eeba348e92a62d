//! Keeps one actor alive on one arbiter, by its policy: waits on the join handle, judges, rests, makes it anew.
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{AsyncContext, Context};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{error, warn};

use crate::actor_ref::Slot;
use crate::cell::{ActorCell, LastFault, Stop};
use crate::core::{Health, Quit};
use crate::host_failure::HostFailure;
use crate::policy::{FailureResponse, History, Policy};
use crate::{Actor, Exit};

/// Lets nobody believe in an actor whose supervisor is gone, however it went.
struct Watched<A: Actor>(Arc<Slot<A>>);

impl<A: Actor> Drop for Watched<A> {
    fn drop(&mut self) {
        self.0.bind(None);
        self.0.core.mark_idle();
        self.0.core.set_health(Health::Finished);
    }
}

/// Runs on the actor's arbiter, and so does the factory: the actor need not be `Send`.
pub(crate) async fn supervise<A, F>(slot: Arc<Slot<A>>, policy: Policy, factory: F, gave_up: mpsc::Sender<HostFailure>)
where
    A: Actor,
    F: Fn() -> A + 'static,
{
    let watched = Watched(Arc::clone(&slot));
    tokio::select! {
        () = keep(slot, policy, Rc::new(factory), gave_up) => {}
        // Shows the watchdog that this arbiter turns, whatever the actor is doing.
        () = watched.0.core.pulse.beat(part_of(policy.stall_after)) => {}
    }
}

/// How often to look for something that may take as long as `whole`.
pub(crate) fn part_of(whole: Duration) -> Duration {
    (whole / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

async fn keep<A, F>(slot: Arc<Slot<A>>, policy: Policy, factory: Rc<F>, gave_up: mpsc::Sender<HostFailure>)
where
    A: Actor,
    F: Fn() -> A + 'static,
{
    let mut history = History::default();
    let mut quits = slot.core.quits();
    loop {
        let exit = live(&slot, &policy, &factory, &mut quits).await;
        slot.core.count_exit(&exit);
        if *quits.borrow() != Quit::Run {
            return finish(&slot, &exit, &mut quits).await;
        }
        let rest = match history.judge(&policy, Instant::now()) {
            FailureResponse::RestartAfter(rest) => {
                slot.core.set_health(Health::Restarting);
                warn!(actor = A::NAME, %exit, ?rest, "actor ended, restarting");
                rest
            }
            FailureResponse::CoolOff(rest) => {
                slot.core.set_health(Health::Down);
                error!(actor = A::NAME, %exit, ?rest, "restart budget spent, cooling off");
                rest
            }
            FailureResponse::StopHost => {
                slot.core.set_health(Health::Down);
                error!(actor = A::NAME, %exit, "restart budget spent, stopping host");
                // A full channel means that the host already stops for another one's sake.
                drop(gave_up.try_send(HostFailure { actor: A::NAME, exit }));
                return finish(&slot, &Exit::Stopped, &mut quits).await;
            }
        };
        tokio::select! {
            () = sleep(rest) => {}
            _ = ordered(&mut quits, Quit::Drain) => return finish(&slot, &Exit::Stopped, &mut quits).await,
        }
    }
}

/// The actor has ended for good. What it carried may still be under way.
async fn finish<A: Actor>(slot: &Slot<A>, exit: &Exit, quits: &mut watch::Receiver<Quit>) {
    if *exit != Exit::Stopped {
        warn!(actor = A::NAME, %exit, "actor ended while draining");
    }
    tokio::select! {
        () = slot.core.drained() => {}
        _ = ordered(quits, Quit::Abort) => {}
    }
}

/// Resolves when the host wants at least `wanted`, with what it wants.
async fn ordered(quits: &mut watch::Receiver<Quit>, wanted: Quit) -> Quit {
    let order = quits.wait_for(|quit| *quit >= wanted).await;
    *order.expect("the caller holds the slot, and the slot the sender")
}

/// One generation, from the factory to its exit.
async fn live<A, F>(slot: &Arc<Slot<A>>, policy: &Policy, factory: &Rc<F>, quits: &mut watch::Receiver<Quit>) -> Exit
where
    A: Actor,
    F: Fn() -> A + 'static,
{
    let core = &slot.core;
    let generation = core.next_generation();
    let fault = LastFault::default();
    let mut ctx = Context::new();
    ctx.set_mailbox_capacity(0); // None: the places in `Core` are the bound, and an exact one.
    let addr = ctx.address();
    core.mark_busy();
    let cell = {
        let (factory, core, fault) = (Rc::clone(factory), Arc::clone(core), Rc::clone(&fault));
        move || ActorCell::new(factory(), core, fault)
    };
    // Spawned by hand, because that yields the join handle. The factory runs inside the task, so that its panic too is
    // an exit and not the end of supervision.
    let mut life = actix_rt::spawn(async move { ctx.into_future(cell()).await });
    slot.bind(Some(addr.clone()));
    let mut looks = interval(part_of(policy.stall_after));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut heard, mut stopping, mut last_words) = (Quit::Run, false, None);
    let joined = loop {
        tokio::select! {
            joined = &mut life => break joined,
            order = ordered(quits, if heard == Quit::Run { Quit::Drain } else { Quit::Abort }), if heard != Quit::Abort => {
                heard = order;
                core.set_health(Health::Draining);
                if order == Quit::Abort {
                    life.abort();
                }
            }
            () = core.drained(), if heard == Quit::Drain && !stopping => {
                stopping = true;
                slot.bind(None);
                // After everything that slipped in before the door was shut. If the cell is gone, `life` says so.
                drop(addr.try_send(Stop));
            }
            text = core.crashed(generation), if last_words.is_none() => {
                last_words = Some(text);
                life.abort();
            }
            _ = looks.tick() => if core.busy_for() > policy.stall_after {
                error!(actor = A::NAME, busy_for = ?core.busy_for(), "stalled, aborting");
                life.abort();
            }
        }
    };
    slot.bind(None);
    core.mark_idle();
    match last_words {
        Some(text) => Exit::Panicked(text),
        None => Exit::from_join(joined, fault.take()),
    }
}
