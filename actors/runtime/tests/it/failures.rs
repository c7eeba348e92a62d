//! Each failure is seen for what it is, and what follows is by policy.
use std::sync::atomic::AtomicU32;
use std::sync::mpsc;

use runtime::{ActorRef, AskError, Exit, Health, Host, HostFailure, Refused, Restarts};

use super::*;

/// Its `open` does in each generation what its script says, and is fine when the script has ended.
struct Patient {
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy)]
enum Outcome {
    FactoryPanic,
    OpenPanic,
    OpenFault,
    OpenForEver,
}

impl Actor for Patient {
    const NAME: &'static str = "patient";

    async fn open(&mut self) -> Result<(), Fault> {
        match self.outcome {
            Some(Outcome::OpenPanic) => panic!("no heart"),
            Some(Outcome::OpenFault) => Err(Fault::because("no pulse")),
            Some(Outcome::OpenForEver) => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

impl Handler<Hit> for Patient {
    async fn handle(&mut self, _: Hit, reply: Reply<Hit>) -> Result<(), Fault> {
        reply.send(1);
        Ok(())
    }
}

fn scripted(script: &'static [Outcome]) -> impl Fn() -> Patient + Send {
    let life = AtomicU32::new(0);
    move || {
        let outcome = script.get(life.fetch_add(1, Ordering::Relaxed) as usize).copied();
        assert!(!matches!(outcome, Some(Outcome::FactoryPanic)), "no config");
        Patient { outcome }
    }
}

#[test]
fn a_refusal_is_a_value_and_restarts_nothing() {
    with_counter(ROOM, POLICY, async |actor| {
        assert_eq!(actor.ask(Even(3), SOON).await, Ok(Err("odd")));
        assert_eq!(actor.ask(Even(4), SOON).await, Ok(Ok(4)));
        assert_eq!((actor.generation(), actor.port().restarts()), (1, Restarts::default()));
    });
}

#[test]
fn a_fault_restarts_with_fresh_state() {
    with_counter(ROOM, POLICY, async |actor| {
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
        assert_eq!(actor.ask(Hit, SOON).await, Ok(2));
        assert_eq!(actor.ask(Bad, SOON).await, Err(AskError::Lost));
        actor.wait_generation(2).await;
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
        assert_eq!(actor.port().restarts(), Restarts { faulted: 1, ..Restarts::default() });
    });
}

#[test]
fn a_panic_restarts_with_fresh_state_and_what_was_deferred_is_lost() {
    with_counter(ROOM, POLICY, async |actor| {
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
        let (parked, boom) = tokio::join!(actor.ask(Park, SOON), actor.ask(Boom, SOON));
        assert_eq!((parked, boom), (Err(AskError::Lost), Err(AskError::Lost)));
        actor.wait_generation(2).await;
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
        assert_eq!((actor.depth(), actor.port().lost()), (0, 2));
        assert_eq!(actor.port().restarts(), Restarts { panicked: 1, ..Restarts::default() });
    });
}

#[test]
fn a_panic_in_carried_work_restarts_the_actor() {
    with_counter(ROOM, POLICY, async |actor| {
        assert_eq!(actor.ask(BadJourney, SOON).await, Err(AskError::Lost));
        actor.wait_generation(2).await;
        assert_eq!(actor.port().restarts(), Restarts { panicked: 1, ..Restarts::default() });
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
    });
}

#[test]
fn an_injected_panic_is_like_a_real_one() {
    with_counter(ROOM, POLICY, async |actor| {
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
        assert!(actor.port().inject_panic());
        actor.wait_generation(2).await;
        assert_eq!(actor.port().restarts(), Restarts { panicked: 1, ..Restarts::default() });
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
    });
}

#[test]
fn a_failing_factory_or_open_is_one_more_failure_and_up_means_opened() {
    const SCRIPT: &[Outcome] = &[Outcome::FactoryPanic, Outcome::OpenPanic, Outcome::OpenFault];
    runtime::block_on(async {
        let actor = ActorRef::unbound(ROOM);
        let mut host = Host::default();
        host.start(&actor, POLICY, scripted(SCRIPT));
        soon(actor.wait_up()).await;
        assert_eq!(actor.generation(), 4);
        assert_eq!(actor.port().restarts(), Restarts { faulted: 1, panicked: 2, killed: 0 });
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
    });
}

#[test]
fn an_open_that_never_ends_is_aborted_and_tried_again() {
    runtime::block_on(async {
        let actor = ActorRef::unbound(ROOM);
        let mut host = Host::default();
        host.start(&actor, Policy { stall_after: BRIEF, ..POLICY }, scripted(&[Outcome::OpenForEver]));
        soon(actor.wait_up()).await;
        assert_eq!((actor.generation(), actor.port().restarts().killed), (2, 1));
    });
}

#[test]
fn a_handler_that_awaits_for_ever_is_aborted_and_its_asker_told() {
    with_counter(ROOM, Policy { stall_after: BRIEF, ..POLICY }, async |actor| {
        let (_never, gate) = oneshot::channel();
        assert_eq!(actor.ask(Hold(gate), SOON).await, Err(AskError::Lost));
        actor.wait_generation(2).await;
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
        assert_eq!((actor.depth(), actor.port().restarts().killed), (0, 1));
    });
}

#[test]
fn a_thread_that_burns_is_seen_by_the_watchdog_and_by_nobody_else() {
    runtime::block_on(async {
        let (tx, seen) = mpsc::channel();
        let enough = Arc::new(AtomicBool::new(false));
        let actor = ActorRef::unbound(ROOM);
        let mut host = Host::with_watchdog(move |stuck| tx.send(stuck).unwrap()).unwrap();
        host.start(&actor, Policy { stall_after: BRIEF, ..POLICY }, Counter::default);
        soon(actor.wait_up()).await;
        actor.tell(Spin(Arc::clone(&enough))).unwrap();
        let stuck = seen.recv_timeout(SOON).unwrap();
        assert_eq!(stuck.actor, "counter");
        assert!(stuck.stuck_for > 2 * BRIEF);
        assert!(actor.busy_for() > BRIEF, "readable from any thread");
        assert_eq!(actor.port().restarts(), Restarts::default(), "an abort cannot act there");
        enough.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_watchdog_leaves_alone_who_only_waits_or_rests() {
    runtime::block_on(async {
        let (tx, seen) = mpsc::channel();
        let (idle, rests) = (ActorRef::<Counter>::unbound(ROOM), ActorRef::<Counter>::unbound(ROOM));
        let mut host = Host::with_watchdog(move |stuck| tx.send(stuck).unwrap()).unwrap();
        let resting = Policy { stall_after: 2 * BRIEF, backoff_min: NEVER, backoff_max: NEVER, ..POLICY };
        host.start(&idle, resting, Counter::default);
        host.start(&rests, resting, Counter::default);
        soon(idle.wait_up()).await;
        soon(rests.wait_up()).await;
        rests.tell(Bad).unwrap();
        soon(rests.wait_health(Health::Restarting)).await;
        // The one place where time has to pass: that nothing happens can only be seen by waiting.
        assert_eq!(seen.recv_timeout(10 * BRIEF), Err(mpsc::RecvTimeoutError::Timeout));
    });
}

#[test]
fn a_spent_budget_stops_the_host_and_the_others_are_drained() {
    runtime::block_on(async {
        let (other, fails) = (ActorRef::<Counter>::unbound(ROOM), ActorRef::<Patient>::unbound(ROOM));
        let mut host = Host::default();
        host.start(&other, POLICY, Counter::default);
        let health = host.health_watch();
        soon(other.wait_up()).await;
        let (open, gate) = oneshot::channel();
        host.start(&fails, POLICY, scripted(&[Outcome::FactoryPanic; 9]));
        let held = async {
            soon(fails.wait_health(Health::Finished)).await;
            open.send(()).unwrap();
        };
        let (ended, (), held) = tokio::join!(host.run(std::future::pending(), SOON), held, other.ask(Hold(gate), SOON));
        assert_eq!(
            ended,
            Err(HostFailure { actor: "patient", exit: Exit::Panicked("no config".to_owned()) }),
            "and it says why"
        );
        assert_eq!(ended.unwrap_err().to_string(), "actor patient spent its restart budget: panic: no config");
        assert_eq!(fails.generation(), 4);
        assert_eq!(held, Ok(()), "accepted work of the others is finished");
        assert_eq!(*health.borrow(), [("counter", Health::Finished), ("patient", Health::Finished)]);
        assert_eq!(other.ask(Hit, SOON).await, Err(AskError::Down));
    });
}

#[test]
fn a_degraded_actor_is_down_and_the_others_go_on() {
    runtime::block_on(async {
        let (other, fails) = (ActorRef::<Counter>::unbound(ROOM), ActorRef::<Patient>::unbound(ROOM));
        let mut host = Host::default();
        let degrade = Policy { on_exhausted: OnExhausted::Degrade { cool_off: NEVER }, ..POLICY };
        host.start(&other, POLICY, Counter::default);
        host.start(&fails, degrade, scripted(&[Outcome::OpenFault; 9]));
        soon(other.wait_up()).await;
        soon(fails.wait_health(Health::Down)).await;
        assert_eq!(host.health(), [("counter", Health::Up), ("patient", Health::Down)]);
        assert_eq!(fails.ask(Hit, SOON).await, Err(AskError::Down));
        assert_eq!(other.ask(Hit, SOON).await, Ok(1));
        assert_eq!(soon(host.run(async {}, SOON)).await, Ok(()), "a rest does not hold up the drain");
    });
}

#[test]
fn after_the_cool_off_there_is_one_more_try() {
    runtime::block_on(async {
        let actor = ActorRef::unbound(ROOM);
        let mut host = Host::default();
        let degrade = Policy { on_exhausted: OnExhausted::Degrade { cool_off: BRIEF }, ..POLICY };
        // Four failures spend the budget, the fifth is a try that fails, the sixth is one that holds.
        host.start(&actor, degrade, scripted(&[Outcome::OpenFault; 5]));
        soon(actor.wait_up()).await;
        assert_eq!(actor.generation(), 6);
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
    });
}

#[test]
fn between_two_generations_senders_hear_busy() {
    with_counter(ROOM, Policy { backoff_min: NEVER, backoff_max: NEVER, ..POLICY }, async |actor| {
        assert_eq!(actor.ask(Bad, SOON).await, Err(AskError::Lost));
        actor.wait_health(Health::Restarting).await;
        assert_eq!(actor.ask(Hit, SOON).await, Err(AskError::Busy));
        assert!(matches!(actor.tell(Hit), Err(Refused::Busy(Hit))));
        assert_eq!((actor.depth(), actor.port().refused(), actor.is_up()), (0, 2, false));
    });
}

#[test]
fn while_an_actor_opens_messages_queue_up_to_the_bound() {
    struct Opens(Option<oneshot::Receiver<()>>);
    impl Actor for Opens {
        const NAME: &'static str = "opens";
        async fn open(&mut self) -> Result<(), Fault> {
            let gate = self.0.take().expect("opened once");
            gate.await.map_err(|_| Fault::because("the gate is gone"))
        }
    }
    impl Handler<Hit> for Opens {
        async fn handle(&mut self, _: Hit, reply: Reply<Hit>) -> Result<(), Fault> {
            reply.send(7);
            Ok(())
        }
    }
    runtime::block_on(async {
        let actor = ActorRef::unbound(Limits { messages: 2, urgent: 0 });
        let (open, gate) = oneshot::channel();
        let gate = std::sync::Mutex::new(Some(gate));
        let mut host = Host::default();
        host.start(&actor, POLICY, move || Opens(gate.lock().unwrap().take()));
        // Bound to its first mailbox, but not up.
        soon(async { while matches!(actor.tell(Hit), Err(Refused::Busy(_))) {} }).await;
        let asked = async {
            assert_eq!(actor.depth(), 2);
            assert_eq!(actor.ask(Hit, SOON).await, Err(AskError::Busy));
            assert_eq!(host.health(), [("opens", Health::Starting)]);
            open.send(()).unwrap();
        };
        let (first, ()) = tokio::join!(actor.ask(Hit, SOON), asked);
        assert_eq!(first, Ok(7));
        assert_eq!(actor.ask(Hit, SOON).await, Ok(7));
        assert_eq!((actor.is_up(), actor.port().lost()), (true, 0));
    });
}
