//! `SuspectKeeper`: suspects into the database, and back from it.
//!
//! What it refuses to do: decide, and stand between a strike and its effect. While the database is away, restrictions
//! are in force all the same and are written when it is back.
use std::sync::Arc;

use messages::facts::Clock;
use messages::validation::KeepSuspects;
use runtime::{Actor, Fault, Handler, Reply};
use store::Store;
use tracing::{debug, warn};

use crate::Suspects;

/// Ticks between two looks at what other hosts and the operator stored.
const TICKS_PER_REFRESH: u32 = 12;

/// The actor.
pub struct SuspectKeeper {
    suspects: Arc<Suspects>,
    store: Store,
    clock: Clock,
    ticks: u32,
    failing: bool,
}

impl SuspectKeeper {
    /// A factory for the supervisor.
    pub fn factory(suspects: Arc<Suspects>, store: Store, clock: Clock) -> impl Fn() -> SuspectKeeper {
        move || SuspectKeeper {
            suspects: Arc::clone(&suspects),
            store: store.clone(),
            clock: Arc::clone(&clock),
            ticks: 0,
            failing: false,
        }
    }

    async fn keep(&mut self) -> store::Result<()> {
        let now = (self.clock)();
        let dirty = self.suspects.take_dirty();
        if !dirty.is_empty()
            && let Err(error) = self.store.suspects_put(&dirty, now).await
        {
            self.suspects.put_back(&dirty);
            return Err(error);
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_REFRESH) {
            self.suspects.refresh(self.store.suspects_list(now).await?, now);
        }
        Ok(())
    }
}

impl Actor for SuspectKeeper {
    const NAME: &'static str = "suspect_keeper";

    async fn close(&mut self) {
        if let Err(error) = self.keep().await {
            warn!(%error, "the last strikes are not stored");
        }
    }
}

impl Handler<KeepSuspects> for SuspectKeeper {
    async fn handle(&mut self, _: KeepSuspects, reply: Reply<KeepSuspects>) -> Result<(), Fault> {
        match self.keep().await {
            Ok(()) => self.failing = false,
            Err(error) if self.failing => debug!(%error, "strikes are still not stored"),
            Err(error) => {
                self.failing = true;
                warn!(%error, "strikes are not stored; they are in force all the same");
            }
        }
        reply.send(());
        Ok(())
    }
}
