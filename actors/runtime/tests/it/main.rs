//! What senders, operators and the host may rely on, shown with real actors on real threads.
#![expect(clippy::unwrap_used, reason = "helpers of tests too may fail where they stand")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runtime::{
    Actor, ActorRef, Fault, Handler, Limits, Message, OnExhausted, Policy, Recipient, Reply, Restart, continue_with,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longer than anything here takes, shorter than a test runner's patience.
const SOON: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(3600);
const BRIEF: Duration = Duration::from_millis(40);
const ROOM: Limits = Limits { messages: 8, urgent: 2 };

const POLICY: Policy = Policy {
    restart: Restart::Permanent,
    max_restarts: 3,
    within: NEVER,
    backoff_min: Duration::from_millis(1),
    backoff_max: Duration::from_millis(5),
    on_exhausted: OnExhausted::StopHost,
    stall_after: NEVER,
};

/// Counts, and does whatever a test needs an actor to do.
#[derive(Default)]
struct Counter {
    hits: u32,
    parked: Vec<Reply<Park>>,
}

impl Actor for Counter {
    const NAME: &'static str = "counter";
}

/// Declares messages. Above the modules, so that they can use it too.
macro_rules! messages {
    ($($(#[$meta:meta])* $msg:ident $(($($part:ty),+))? => $reply:ty, $name:literal, urgent: $urgent:literal;)+) => {$(
        $(#[$meta])*
        #[derive(Debug)]
        struct $msg $(($($part),+))?;
        impl Message for $msg {
            type Reply = $reply;
            const NAME: &'static str = $name;
            const URGENT: bool = $urgent;
        }
    )+};
}

mod bounds;
mod drain;
mod failures;
mod spans;

messages! {
    Hit => u32, "hit", urgent: false;
    UrgentHit => u32, "urgent_hit", urgent: true;
    /// Refused, as a value, when odd.
    Even(u32) => Result<u32, &'static str>, "even", urgent: false;
    Boom => (), "boom", urgent: false;
    Bad => (), "bad", urgent: false;
    /// Answered at `Release`.
    Park => (), "park", urgent: false;
    Release => (), "release", urgent: true;
    /// Holds the actor until the gate opens.
    Hold(oneshot::Receiver<()>) => (), "hold", urgent: false;
    /// Is carried until the gate opens, then hits the recipient.
    Journey(oneshot::Receiver<()>, Recipient<Hit>) => u32, "journey", urgent: false;
    BadJourney => (), "bad_journey", urgent: false;
    /// Is told again before it is handled, until told otherwise.
    Again(Recipient<Again>, Arc<AtomicBool>) => (), "again", urgent: false;
    /// Burns CPU until told.
    Spin(Arc<AtomicBool>) => (), "spin", urgent: false;
}

impl Handler<Hit> for Counter {
    async fn handle(&mut self, _: Hit, reply: Reply<Hit>) -> Result<(), Fault> {
        self.hits += 1;
        reply.send(self.hits);
        Ok(())
    }
}

impl Handler<UrgentHit> for Counter {
    async fn handle(&mut self, _: UrgentHit, reply: Reply<UrgentHit>) -> Result<(), Fault> {
        self.hits += 1;
        reply.send(self.hits);
        Ok(())
    }
}

impl Handler<Even> for Counter {
    async fn handle(&mut self, msg: Even, reply: Reply<Even>) -> Result<(), Fault> {
        reply.send(if msg.0.is_multiple_of(2) { Ok(msg.0) } else { Err("odd") });
        Ok(())
    }
}

impl Handler<Boom> for Counter {
    async fn handle(&mut self, _: Boom, _reply: Reply<Boom>) -> Result<(), Fault> {
        tokio::task::yield_now().await;
        panic!("boom")
    }
}

impl Handler<Bad> for Counter {
    async fn handle(&mut self, _: Bad, _reply: Reply<Bad>) -> Result<(), Fault> {
        Err(Fault::because("bad"))
    }
}

impl Handler<Park> for Counter {
    async fn handle(&mut self, _: Park, reply: Reply<Park>) -> Result<(), Fault> {
        self.parked.push(reply);
        Ok(())
    }
}

impl Handler<Release> for Counter {
    async fn handle(&mut self, _: Release, reply: Reply<Release>) -> Result<(), Fault> {
        self.parked.drain(..).for_each(|parked| parked.send(()));
        reply.send(());
        Ok(())
    }
}

impl Handler<Hold> for Counter {
    async fn handle(&mut self, msg: Hold, reply: Reply<Hold>) -> Result<(), Fault> {
        msg.0.await.map_err(|_| Fault::because("the gate is gone"))?;
        reply.send(());
        Ok(())
    }
}

impl Handler<Journey> for Counter {
    async fn handle(&mut self, Journey(gate, next): Journey, reply: Reply<Journey>) -> Result<(), Fault> {
        continue_with(reply, async move {
            gate.await.unwrap();
            next.ask(Hit, SOON).await.unwrap()
        });
        Ok(())
    }
}

impl Handler<BadJourney> for Counter {
    async fn handle(&mut self, _: BadJourney, reply: Reply<BadJourney>) -> Result<(), Fault> {
        continue_with(reply, async { panic!("fell off") });
        Ok(())
    }
}

impl Handler<Again> for Counter {
    async fn handle(&mut self, Again(me, enough): Again, reply: Reply<Again>) -> Result<(), Fault> {
        if !enough.load(Ordering::Relaxed) {
            me.tell(Again(me.clone(), enough)).unwrap();
        }
        reply.send(());
        Ok(())
    }
}

impl Handler<Spin> for Counter {
    async fn handle(&mut self, msg: Spin, reply: Reply<Spin>) -> Result<(), Fault> {
        while !msg.0.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        reply.send(());
        Ok(())
    }
}

/// Fails a test that hangs, by name, before the runner does.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("this takes much too long")
}

/// Waits for a level that nothing announces.
async fn until(mut level: impl FnMut() -> bool) {
    soon(async {
        while !level() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// An actor that is up, its host, and a test's body.
fn with_counter<F: Future<Output = ()>>(limits: Limits, policy: Policy, body: impl FnOnce(ActorRef<Counter>) -> F) {
    runtime::block_on(async {
        let actor = ActorRef::unbound(limits);
        let mut host = runtime::Host::default();
        host.start(&actor, policy, Counter::default);
        soon(actor.wait_up()).await;
        soon(body(actor)).await;
        drop(host);
    });
}
