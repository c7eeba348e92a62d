//! `BanKeeper`: bans into the database, and back from it.
//!
//! What it refuses to do: decide, and stand between a ban and its effect. While the database is away, bans are in
//! force all the same and are written when it is back.
use std::sync::Arc;

use messages::facts::Clock;
use runtime::{Actor, Fault, Handler, Message, Reply};
use store::Store;
use tracing::{debug, warn};

use crate::bans::Bans;

/// Ticks between two looks at what other hosts and the operator stored.
const TICKS_PER_REFRESH: u32 = 12;

/// Store new bans; now and then take over stored ones.
#[derive(Debug)]
pub struct KeepBans;

impl Message for KeepBans {
    type Reply = ();
    const NAME: &'static str = "keep_bans";
    const URGENT: bool = true;
}

/// The actor.
pub struct BanKeeper {
    bans: Arc<Bans>,
    store: Store,
    clock: Clock,
    ticks: u32,
    failing: bool,
}

impl BanKeeper {
    /// A factory for the supervisor.
    pub fn factory(bans: Arc<Bans>, store: Store, clock: Clock) -> impl Fn() -> BanKeeper {
        move || BanKeeper {
            bans: Arc::clone(&bans),
            store: store.clone(),
            clock: Arc::clone(&clock),
            ticks: 0,
            failing: false,
        }
    }

    async fn keep(&mut self) -> store::Result<()> {
        let now = (self.clock)();
        let begin = Bans::memory_begins(now);
        let unsaved = self.bans.unsaved();
        if !unsaved.is_empty() {
            self.store.bans_put(&unsaved, begin).await?;
            self.bans.saved(&unsaved);
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_REFRESH) {
            self.bans.refresh(self.store.bans_list(begin).await?, now);
        }
        Ok(())
    }
}

impl Actor for BanKeeper {
    const NAME: &'static str = "ban_keeper";

    async fn close(&mut self) {
        if let Err(error) = self.keep().await {
            warn!(%error, "the last bans are not stored");
        }
    }
}

impl Handler<KeepBans> for BanKeeper {
    async fn handle(&mut self, _: KeepBans, reply: Reply<KeepBans>) -> Result<(), Fault> {
        match self.keep().await {
            Ok(()) => self.failing = false,
            Err(error) if self.failing => debug!(%error, "bans are still not stored"),
            Err(error) => {
                self.failing = true;
                warn!(%error, "bans are not stored; they are in force all the same");
            }
        }
        reply.send(());
        Ok(())
    }
}
