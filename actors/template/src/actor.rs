//! The mailbox side: one look at a time, and the daemon's events.
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use futures_util::StreamExt;
use messages::template::{RefreshReason, RefreshTemplate};
use runtime::{Actor, Fault, Handler, Reply, Task, carry, spawn};
use tracing::debug;

use crate::TemplateParts;
use crate::follow::Follower;

/// Follows the tip; see the crate's documentation.
pub struct TemplateActor {
    follower: Rc<Follower>,
    flight: Rc<Cell<Flight>>,
    parts: TemplateParts,
    listener: Option<Task>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flight {
    Idle,
    Running,
    /// Something happened while it ran: run once more.
    Again,
}

impl TemplateActor {
    /// On the arbiter that will run it.
    #[must_use]
    pub fn new(parts: TemplateParts) -> TemplateActor {
        let follower = Rc::new(Follower::new(parts.clone()));
        TemplateActor { follower, flight: Rc::new(Cell::new(Flight::Idle)), parts, listener: None }
    }
}

impl Actor for TemplateActor {
    const NAME: &'static str = "template";

    async fn open(&mut self) -> Result<(), Fault> {
        let (follower, me) = (Rc::clone(&self.follower), self.parts.me.clone());
        self.listener = Some(spawn(async move {
            let mut events = pin!(follower.daemon().events());
            while let Some(event) = events.next().await {
                if follower.is_news(event) && me.tell(RefreshTemplate(RefreshReason::Event)).is_err() {
                    debug!("event not taken; the next poll will see the block");
                }
            }
        }));
        Ok(())
    }
}

impl Handler<RefreshTemplate> for TemplateActor {
    async fn handle(
        &mut self,
        RefreshTemplate(reason): RefreshTemplate,
        reply: Reply<RefreshTemplate>,
    ) -> Result<(), Fault> {
        if self.listener.as_ref().is_some_and(Task::is_finished) {
            return Err(Fault::because("the event listener ended"));
        }
        if self.flight.get() != Flight::Idle {
            // A poll asks for nothing that the running look does not answer; the others may be newer than it.
            if reason != RefreshReason::Poll {
                self.flight.set(Flight::Again);
            }
            reply.send(());
            return Ok(());
        }
        self.flight.set(Flight::Running);
        let (follower, flight) = (Rc::clone(&self.follower), Rc::clone(&self.flight));
        carry(reply, async move {
            loop {
                follower.refresh().await;
                if flight.replace(Flight::Running) == Flight::Running {
                    break;
                }
            }
            flight.set(Flight::Idle);
        });
        Ok(())
    }
}
