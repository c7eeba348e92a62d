//! The bound is exact, whoever sends, and covers all that was accepted.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use runtime::{ActorRef, AskError, Host, Limits, Recipient, Refused};
use tokio::join;

use super::*;

const FOUR: Limits = Limits { messages: 4, urgent: 1 };

#[test]
fn the_bound_is_exact_whatever_is_cloned_and_covers_deferred_replies() {
    with_counter(FOUR, POLICY, async |actor| {
        let mut accepted = 0;
        for _ in 0..1000 {
            match (actor.clone().tell(Park), actor.recipient::<Park>().tell(Park)) {
                (Ok(()), Ok(())) => accepted += 2,
                (Err(Refused::Busy(_)), Err(Refused::Busy(_))) => {}
                other => panic!("{other:?}"),
            }
            tokio::task::yield_now().await; // Lets the mailbox empty: the places stay taken.
        }
        assert_eq!(accepted, 4);
        assert_eq!((actor.depth(), actor.capacity()), (4, 5));
        assert_eq!(actor.ask(Hit, SOON).await, Err(AskError::Busy));
        assert_eq!(actor.port().refused(), 1997);
        assert_eq!(actor.ask(Release, SOON).await, Ok(()));
        assert_eq!(actor.depth(), 0);
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
    });
}

#[test]
fn the_bound_holds_under_eight_threads() {
    let limits = Limits { messages: 64, urgent: 0 };
    with_counter(limits, POLICY, async |actor| {
        let deepest = AtomicUsize::new(0);
        let (actor, deepest) = (&actor, &deepest);
        let hammer = || {
            let outcomes = (0..50_000).map(|_| {
                let told = actor.tell(Hit).is_ok();
                deepest.fetch_max(actor.depth(), Ordering::SeqCst);
                u32::from(told)
            });
            outcomes.sum::<u32>()
        };
        let accepted: u32 = thread::scope(|scope| {
            let threads = [(); 8].map(|()| scope.spawn(hammer));
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert!(deepest.load(Ordering::SeqCst) <= 64, "{deepest:?}");
        actor.wait_drained().await;
        assert_eq!(actor.ask(Hit, SOON).await, Ok(accepted + 1));
        assert_eq!(actor.port().refused(), 400_000 - u64::from(accepted));
        assert_eq!(actor.port().lost(), 0);
    });
}

#[test]
fn urgent_messages_have_places_of_their_own() {
    with_counter(FOUR, POLICY, async |actor| {
        let mut parked = 0;
        while actor.tell(Park).is_ok() {
            parked += 1;
        }
        assert_eq!(parked, 4);
        assert_eq!(actor.ask(UrgentHit, SOON).await, Ok(1));
        let port = actor.port();
        assert_eq!((port.depth(), port.capacity(), port.urgent_depth(), port.urgent_capacity()), (4, 5, 0, 1));
    });
}

#[test]
fn urgent_messages_take_no_place_from_the_others() {
    with_counter(FOUR, POLICY, async |actor| {
        let (open, gate) = oneshot::channel();
        actor.tell(Hold(gate)).unwrap();
        actor.tell(UrgentHit).unwrap();
        assert_eq!(actor.port().urgent_depth(), 1);
        assert!(matches!(actor.tell(UrgentHit), Err(Refused::Busy(_))));
        for _ in 0..3 {
            actor.tell(Hit).unwrap();
        }
        assert!(matches!(actor.tell(Hit), Err(Refused::Busy(_))));
        open.send(()).unwrap();
        actor.wait_drained().await;
        assert_eq!(actor.ask(Hit, SOON).await, Ok(5));
    });
}

#[test]
fn whoever_has_the_answer_sees_the_place_free() {
    with_counter(Limits { messages: 1, urgent: 0 }, POLICY, async |actor| {
        for hits in 1..=2000 {
            assert_eq!(actor.ask(Hit, SOON).await, Ok(hits));
        }
    });
}

#[test]
fn messages_behind_a_panic_are_lost_and_permits_come_back() {
    with_counter(ROOM, POLICY, async |actor| {
        let (open, gate) = oneshot::channel();
        actor.tell(Hold(gate)).unwrap();
        let askers = async { join!(actor.ask(Boom, SOON), actor.ask(Hit, SOON), actor.ask(UrgentHit, SOON)) };
        let release = async {
            actor.tell(Hit).unwrap();
            open.send(()).unwrap();
        };
        let (answers, ()) = join!(askers, release);
        assert_eq!(answers, (Err(AskError::Lost), Err(AskError::Lost), Err(AskError::Lost)));
        actor.wait_generation(2).await;
        assert_eq!((actor.depth(), actor.port().lost()), (0, 4), "the told one is counted too");
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
    });
}

#[test]
fn a_late_answer_is_late_and_not_lost() {
    with_counter(ROOM, POLICY, async |actor| {
        let (open, gate) = oneshot::channel();
        assert_eq!(actor.ask(Hold(gate), Duration::ZERO).await, Err(AskError::Late));
        assert_eq!(actor.recipient::<Hit>().ask(Hit, Duration::ZERO).await, Err(AskError::Late));
        assert_eq!(actor.depth(), 2, "handled all the same");
        open.send(()).unwrap();
        actor.wait_drained().await;
        assert_eq!((actor.port().late(), actor.port().lost()), (2, 0));
        assert_eq!(actor.ask(Hit, SOON).await, Ok(2));
    });
}

#[test]
fn an_actor_takes_the_next_message_while_the_last_one_is_carried() {
    with_counter(FOUR, POLICY, async |actor| {
        let next = Recipient::from_fn(|Hit, reply: Reply<Hit>| {
            reply.send(9);
            Ok(())
        });
        let (gates, journeys): (Vec<_>, Vec<_>) = (0..4)
            .map(|_| {
                let (open, gate) = oneshot::channel();
                (open, actor.ask(Journey(gate, next.clone()), SOON))
            })
            .unzip();
        let open_all = async {
            assert_eq!(actor.depth(), 4);
            assert_eq!(actor.ask(Hit, SOON).await, Err(AskError::Busy));
            assert_eq!(actor.ask(UrgentHit, SOON).await, Ok(1), "not held up by the four");
            gates.into_iter().for_each(|open| open.send(()).unwrap());
        };
        let (answers, ()) = join!(futures_util::future::join_all(journeys), open_all);
        assert_eq!(answers, [Ok(9); 4]);
        assert_eq!(actor.depth(), 0);
    });
}

#[test]
fn a_mailbox_that_is_never_empty_starves_neither_carried_work_nor_the_supervisor() {
    with_counter(ROOM, POLICY, async |actor| {
        let (open, gate) = oneshot::channel();
        let enough = Arc::new(AtomicBool::new(false));
        let fake = Recipient::from_fn(|Hit, reply: Reply<Hit>| {
            reply.send(9);
            Ok(())
        });
        actor.tell(Again(actor.recipient(), Arc::clone(&enough))).unwrap();
        open.send(()).unwrap();
        assert_eq!(actor.ask(Journey(gate, fake), SOON).await, Ok(9));
        assert_eq!(actor.ask(BadJourney, SOON).await, Err(AskError::Lost));
        actor.wait_generation(2).await; // So the supervisor had a turn too.
        enough.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_was_never_started_is_down() {
    runtime::block_on(async {
        let actor = ActorRef::<Counter>::unbound(ROOM);
        assert!(matches!(actor.tell(Hit), Err(Refused::Down(Hit))));
        assert_eq!(actor.ask(Hit, SOON).await, Err(AskError::Down));
        assert_eq!((actor.depth(), actor.port().down(), actor.port().lost()), (0, 2, 0));
        assert!(!actor.port().inject_panic());
    });
}

#[test]
fn a_fake_recipient_answers_refuses_and_loses() {
    runtime::block_on(async {
        let fake = Recipient::from_fn(|msg: Even, reply: Reply<Even>| match msg.0 {
            0 => Err(Refused::Busy(msg)),
            1 => Err(Refused::Down(msg)),
            2 => {
                drop(reply);
                Ok(())
            }
            sum => {
                reply.send(Ok(sum));
                Ok(())
            }
        });
        assert_eq!(fake.ask(Even(0), SOON).await, Err(AskError::Busy));
        assert_eq!(fake.ask(Even(1), SOON).await, Err(AskError::Down));
        assert_eq!(fake.ask(Even(2), SOON).await, Err(AskError::Lost));
        assert_eq!(fake.ask(Even(4), SOON).await, Ok(Ok(4)));
        assert!(fake.tell(Even(3)).is_ok());
    });
}

#[test]
fn what_was_handled_is_counted_by_kind() {
    with_counter(ROOM, POLICY, async |actor| {
        for sum in 0..5 {
            assert_eq!(actor.ask(Even(sum), SOON).await, Ok(if sum % 2 == 0 { Ok(sum) } else { Err("odd") }));
        }
        assert_eq!(actor.ask(Bad, SOON).await, Err(AskError::Lost));
        actor.wait_generation(2).await;
        let handled = actor.port().handled();
        let counts: Vec<_> = handled.iter().map(|kind| (kind.msg, kind.count, kind.faults)).collect();
        assert_eq!(counts, [("even", 5, 0), ("bad", 1, 1)]);
        assert_eq!(handled[0].buckets.iter().sum::<u64>(), 5);
        assert!(handled[0].max <= handled[0].total);
    });
}

#[test]
fn an_actor_cannot_be_started_twice() {
    runtime::block_on(async {
        let actor = ActorRef::unbound(ROOM);
        let mut host = Host::default();
        host.start(&actor, POLICY, Counter::default);
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Host::default().start(&actor, POLICY, Counter::default);
        }));
        assert!(again.is_err());
        soon(actor.wait_up()).await;
        assert_eq!(actor.ask(Hit, SOON).await, Ok(1));
    });
}
