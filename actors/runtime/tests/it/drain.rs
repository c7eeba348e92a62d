//! A host ends without losing what it has accepted, and hears its clock until then.
use std::sync::Mutex;

use runtime::{ActorRef, AskError, Health, Host, Recipient};

use super::*;

/// What was closed, in order.
type Closed = Arc<Mutex<Vec<&'static str>>>;

/// A stage that hands every hit on, and the last one that counts it.
struct First(Recipient<Hit>, Closed);
struct Last(u32, Closed);

impl Actor for First {
    const NAME: &'static str = "first";
    async fn close(&mut self) {
        self.1.lock().unwrap().push(Self::NAME);
    }
}

impl Actor for Last {
    const NAME: &'static str = "last";
    async fn close(&mut self) {
        self.1.lock().unwrap().push(Self::NAME);
    }
}

impl Handler<Hold> for First {
    async fn handle(&mut self, Hold(gate): Hold, reply: Reply<Hold>) -> Result<(), Fault> {
        let next = self.0.clone();
        continue_with(reply, async move {
            gate.await.unwrap();
            next.ask(Hit, SOON).await.unwrap();
        });
        Ok(())
    }
}

impl Handler<Hit> for Last {
    async fn handle(&mut self, _: Hit, reply: Reply<Hit>) -> Result<(), Fault> {
        self.0 += 1;
        reply.send(self.0);
        Ok(())
    }
}

#[test]
fn a_drain_waits_for_carried_work_and_goes_in_reverse_order() {
    runtime::block_on(async {
        let (first, last) = (ActorRef::unbound(ROOM), ActorRef::unbound(ROOM));
        let (closed, next) = (Closed::default(), last.recipient());
        let mut host = Host::default();
        let log = Arc::clone(&closed);
        host.start(&last, POLICY, move || Last(0, Arc::clone(&log)));
        let log = Arc::clone(&closed);
        host.start(&first, POLICY, move || First(next.clone(), Arc::clone(&log)));
        soon(first.wait_up()).await;
        soon(last.wait_up()).await;
        let (open, gate) = oneshot::channel();
        let journey = first.ask(Hold(gate), SOON);
        let opener = async {
            first.wait_health(Health::Draining).await;
            until(|| first.busy_for().is_zero()).await; // The journey is under way, and only that.
            assert_eq!((first.depth(), last.watch().borrow().health), (1, Health::Up));
            open.send(()).unwrap();
        };
        let run = host.run(async {}, SOON);
        let (answer, (), ended) = soon(async { tokio::join!(journey, opener, run) }).await;
        assert_eq!((answer, ended), (Ok(()), Ok(())));
        assert_eq!(*closed.lock().unwrap(), ["first", "last"]);
        assert_eq!(first.ask(Hold(oneshot::channel().1), SOON).await, Err(AskError::Down));
        assert_eq!((first.port().lost(), last.port().lost()), (0, 0));
    });
}

#[test]
fn a_draining_actor_still_hears_its_own_work() {
    runtime::block_on(async {
        let actor = ActorRef::<Counter>::unbound(ROOM);
        let mut host = Host::default();
        host.start(&actor, POLICY, Counter::default);
        soon(actor.wait_up()).await;
        let (open, gate) = oneshot::channel();
        let journey = actor.ask(Journey(gate, actor.recipient()), SOON);
        let opener = async {
            actor.wait_health(Health::Draining).await;
            assert_eq!(actor.ask(UrgentHit, SOON).await, Ok(1));
            open.send(()).unwrap();
        };
        let run = host.run(async {}, SOON);
        let (answer, (), ended) = soon(async { tokio::join!(journey, opener, run) }).await;
        assert_eq!((answer, ended), (Ok(2), Ok(())));
    });
}

#[test]
fn an_actor_that_closes_takes_nothing_more() {
    struct Closes(Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>);
    impl Actor for Closes {
        const NAME: &'static str = "closes";
        async fn close(&mut self) {
            let (closing, gate) = self.0.take().expect("closed once");
            closing.send(()).unwrap();
            gate.await.unwrap();
        }
    }
    impl Handler<Hit> for Closes {
        async fn handle(&mut self, _: Hit, reply: Reply<Hit>) -> Result<(), Fault> {
            reply.send(1);
            Ok(())
        }
    }
    runtime::block_on(async {
        let actor = ActorRef::unbound(ROOM);
        let (closing, closes) = oneshot::channel();
        let (open, gate) = oneshot::channel();
        let ends = Mutex::new(Some((closing, gate)));
        let mut host = Host::default();
        host.start(&actor, POLICY, move || Closes(ends.lock().unwrap().take()));
        soon(actor.wait_up()).await;
        let late = async {
            closes.await.unwrap();
            assert_eq!(actor.ask(Hit, SOON).await, Err(AskError::Down));
            open.send(()).unwrap();
        };
        let (ended, ()) = soon(async { tokio::join!(host.run(async {}, SOON), late) }).await;
        assert_eq!((ended, actor.port().lost()), (Ok(()), 0));
    });
}

#[test]
fn what_is_queued_at_a_drain_is_answered_first() {
    runtime::block_on(async {
        let actor = ActorRef::<Counter>::unbound(ROOM);
        let mut host = Host::default();
        host.start(&actor, POLICY, Counter::default);
        soon(actor.wait_up()).await;
        let (open, gate) = oneshot::channel();
        let (held, hits) =
            (actor.ask(Hold(gate), SOON), async { tokio::join!(actor.ask(Hit, SOON), actor.ask(Hit, SOON)) });
        let run = host.run(async { open.send(()).unwrap() }, SOON);
        let (held, hits, ended) = soon(async { tokio::join!(held, hits, run) }).await;
        assert_eq!((held, hits, ended), (Ok(()), (Ok(1), Ok(2)), Ok(())));
    });
}

#[test]
fn what_never_ends_is_cut_off_and_its_sender_told() {
    runtime::block_on(async {
        let (stuck, other) = (ActorRef::<Counter>::unbound(ROOM), ActorRef::<Counter>::unbound(ROOM));
        let mut host = Host::default();
        host.start(&other, POLICY, Counter::default);
        host.start(&stuck, POLICY, Counter::default);
        soon(stuck.wait_up()).await;
        soon(other.wait_up()).await;
        let (parked, ended) = tokio::join!(stuck.ask(Park, SOON), host.run(async {}, 4 * BRIEF));
        assert_eq!((parked, ended), (Err(AskError::Lost), Ok(())));
        assert_eq!(other.watch().borrow().health, Health::Finished);
    });
}

#[test]
fn a_panic_while_draining_ends_the_actor_for_good() {
    runtime::block_on(async {
        let actor = ActorRef::<Counter>::unbound(ROOM);
        let mut host = Host::default();
        host.start(&actor, POLICY, Counter::default);
        soon(actor.wait_up()).await;
        let (open, gate) = oneshot::channel();
        let (held, boom) = (actor.ask(Hold(gate), SOON), actor.ask(Boom, SOON));
        let run = host.run(async { open.send(()).unwrap() }, SOON);
        let (held, boom, ended) = soon(async { tokio::join!(held, boom, run) }).await;
        assert_eq!((held, boom, ended), (Ok(()), Err(AskError::Lost), Ok(())));
        assert_eq!(actor.generation(), 1);
    });
}

#[test]
fn a_host_that_is_dropped_takes_its_actors_along() {
    runtime::block_on(async {
        let actor = ActorRef::<Counter>::unbound(ROOM);
        let mut host = Host::default();
        host.start(&actor, POLICY, Counter::default);
        soon(actor.wait_up()).await;
        let (parked, ()) = tokio::join!(actor.ask(Park, SOON), async { drop(host) });
        assert_eq!(parked, Err(AskError::Lost));
        soon(actor.wait_health(Health::Finished)).await;
        assert_eq!(actor.ask(Hit, SOON).await, Err(AskError::Down));
    });
}

#[test]
fn the_clock_ticks_and_leaves_out_what_is_not_answered() {
    runtime::block_on(async {
        let actor = ActorRef::<Counter>::unbound(ROOM);
        let mut host = Host::default();
        host.start(&actor, POLICY, Counter::default);
        soon(actor.wait_up()).await;
        host.tick(&actor, Duration::from_millis(1), || UrgentHit);
        let port = actor.port();
        until(|| ticks(&actor) >= 5).await;
        host.tick(&actor, Duration::from_millis(1), || Park);
        until(|| port.ticks_skipped() >= 5).await;
        assert!(actor.depth() <= 2, "one tick of each clock at most is under way");
        let (parked, ended) = tokio::join!(actor.ask(Release, SOON), host.run(async {}, SOON));
        assert_eq!((parked, ended), (Ok(()), Ok(())));
        assert_eq!(port.lost(), 0, "no tick came after the drain");
    });
}

#[test]
fn no_tick_comes_while_an_actor_drains() {
    runtime::block_on(async {
        let (drains, other) = (ActorRef::<Counter>::unbound(ROOM), ActorRef::<Counter>::unbound(ROOM));
        let mut host = Host::default();
        host.start(&other, POLICY, Counter::default);
        host.start(&drains, POLICY, Counter::default);
        host.tick(&other, Duration::from_millis(1), || UrgentHit);
        host.tick(&drains, Duration::from_millis(1), || UrgentHit);
        soon(drains.wait_up()).await;
        let watcher = async {
            drains.wait_health(Health::Draining).await;
            until(|| drains.port().urgent_depth() == 0).await;
            let before = (ticks(&drains), ticks(&other));
            until(|| ticks(&other) >= before.1 + 5).await; // Who is not yet drained still hears the clock.
            assert_eq!(ticks(&drains), before.0);
            drains.ask(Release, SOON).await.unwrap();
        };
        let all = async { tokio::join!(drains.ask(Park, SOON), host.run(async {}, SOON), watcher) };
        assert_eq!(soon(all).await, (Ok(()), Ok(()), ()));
    });
}

fn ticks(actor: &ActorRef<Counter>) -> u64 {
    actor.port().handled().iter().find(|kind| kind.msg == "urgent_hit").map_or(0, |kind| kind.count)
}

#[test]
fn a_task_ends_with_its_owner() {
    runtime::block_on(async {
        let (alive, gone) = oneshot::channel::<()>();
        let task = runtime::spawn(async move {
            std::future::pending::<()>().await;
            drop(alive);
        });
        assert!(!task.is_finished());
        drop(task);
        assert!(soon(gone).await.is_err());
    });
}
