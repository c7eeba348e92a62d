//! The mailbox side: one look at a time, and the daemons' events.
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use futures_util::StreamExt;
use messages::template::{RefreshReason, RefreshTemplate};
use runtime::{Actor, Fault, Handler, Reply, Task, continue_with, spawn};
use tokio::sync::{Notify, watch};

use crate::TemplateParts;
use crate::follow::Follower;

/// Follows the tip; see the crate's documentation.
pub struct TemplateActor {
    follower: Rc<Follower>,
    flight: Rc<Flight>,
    flyer: Task,
    listeners: Vec<Task>,
}

/// Looks, one after the other. A wish that comes while one runs is kept and makes one more, so nothing that happens
/// during a look is lost. Whoever has a wish says it here, past every mailbox.
struct Flight {
    wanted: Notify,
    running: Cell<bool>,
    /// Looks that have ended.
    ended: watch::Sender<u64>,
}

impl Flight {
    fn new() -> Rc<Flight> {
        Rc::new(Flight { wanted: Notify::new(), running: Cell::new(false), ended: watch::Sender::new(0) })
    }

    async fn fly(&self, follower: &Rc<Follower>) {
        loop {
            self.wanted.notified().await;
            self.running.set(true);
            follower.refresh().await;
            self.running.set(false);
            self.ended.send_modify(|ended| *ended += 1);
        }
    }
}

impl TemplateActor {
    /// On the arbiter that will run it.
    #[must_use]
    pub fn new(parts: TemplateParts) -> TemplateActor {
        let follower = Rc::new(Follower::new(parts));
        let flight = Flight::new();
        let flyer = {
            let (follower, flight) = (Rc::clone(&follower), Rc::clone(&flight));
            spawn(async move { flight.fly(&follower).await })
        };
        TemplateActor { follower, flight, flyer, listeners: Vec::new() }
    }

    fn listen(&self, place: usize) -> Task {
        let (follower, flight) = (Rc::clone(&self.follower), Rc::clone(&self.flight));
        spawn(async move {
            let mut events = pin!(follower.events(place));
            while let Some(event) = events.next().await {
                if follower.hear(place, &event) {
                    flight.wanted.notify_one();
                }
            }
        })
    }
}

impl Actor for TemplateActor {
    const NAME: &'static str = "template";

    async fn open(&mut self) -> Result<(), Fault> {
        self.listeners = (0..self.follower.daemons()).map(|place| self.listen(place)).collect();
        Ok(())
    }
}

impl Handler<RefreshTemplate> for TemplateActor {
    async fn handle(
        &mut self,
        RefreshTemplate(reason): RefreshTemplate,
        reply: Reply<RefreshTemplate>,
    ) -> Result<(), Fault> {
        if self.flyer.is_finished() || self.listeners.iter().any(Task::is_finished) {
            return Err(Fault::because("a task of the template actor ended"));
        }
        if self.flight.running.get() {
            // A poll asks for nothing that the running look does not answer; the others may be newer than it.
            if reason != RefreshReason::Poll {
                self.flight.wanted.notify_one();
            }
            reply.send(());
            return Ok(());
        }
        let mut ended = self.flight.ended.subscribe();
        self.flight.wanted.notify_one();
        continue_with(reply, async move {
            // An error means that the actor died, and with it whoever could wait for this answer.
            let _ended = ended.changed().await;
        });
        Ok(())
    }
}
