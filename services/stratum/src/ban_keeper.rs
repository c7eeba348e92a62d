//! `BanKeeper`: bans into the database, and back from it.
//!
//! What it refuses to do: decide, and stand between a ban and its effect. While the database is away, bans are in
//! force all the same and are written when it is back.
use std::sync::Arc;

use messages::facts::Clock;
use runtime::{Actor, Fault, Handler, Message, Reply};
use store::{Store, put_in_parts};
use tracing::{debug, warn};

use crate::bans::Bans;

/// Ticks between two looks at what other hosts and the operator stored.
const TICKS_PER_REFRESH: u32 = 12;

/// Store new bans; now and then take over stored ones.
#[derive(Debug)]
pub struct StoreBans;

impl Message for StoreBans {
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
    is_failing: bool,
}

impl BanKeeper {
    /// A factory for the supervisor.
    pub fn factory(bans: Arc<Bans>, store: Store, clock: Clock) -> impl Fn() -> BanKeeper {
        move || BanKeeper {
            bans: Arc::clone(&bans),
            store: store.clone(),
            clock: Arc::clone(&clock),
            ticks: 0,
            is_failing: false,
        }
    }

    async fn keep(&mut self) -> store::Result<()> {
        let now = (self.clock)();
        let begin = Bans::memory_begins(now);
        let written = put_in_parts(self.bans.unsaved(), async |rows| self.store.bans_put(rows, begin).await).await;
        self.bans.saved(&written.stored);
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_REFRESH) {
            self.bans.refresh(self.store.bans_list(begin).await?, now);
        }
        // What was refused stays unsaved, and is tried again with the next ones.
        written.error.map_or(Ok(()), Err)
    }
}

impl Actor for BanKeeper {
    const NAME: &'static str = "ban_keeper";

    async fn close(&mut self) {
        if let Err(error) = self.keep().await {
            warn!(%error, "last bans not stored");
        }
    }
}

impl Handler<StoreBans> for BanKeeper {
    async fn handle(&mut self, _: StoreBans, reply: Reply<StoreBans>) -> Result<(), Fault> {
        match self.keep().await {
            Ok(()) => self.is_failing = false,
            Err(error) if self.is_failing => debug!(%error, "bans still not stored"),
            Err(error) => {
                self.is_failing = true;
                warn!(%error, "bans not stored, will retry; they are in force");
            }
        }
        reply.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    use units::Timestamp;

    use super::*;
    use crate::client::Client;

    #[test]
    fn a_ban_that_the_database_refuses_keeps_no_other_out_and_is_stored_when_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.sqlite").display().to_string();
        Store::migrate(&format!("sqlite:{path}")).unwrap();
        let sql = |text| SqliteConnection::establish(&path).unwrap().batch_execute(text).unwrap();
        sql("CREATE TRIGGER refusal BEFORE INSERT ON client_bans WHEN NEW.client = '10.0.0.2' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END");
        let store = Store::open(&format!("sqlite:{path}"), 2).unwrap();
        let now = Timestamp::from_ms(1_795_000_000_000);
        let bans = Arc::new(Bans::default());
        for last in 1..=5 {
            bans.add(Client::of(IpAddr::from([10, 0, 0, last])), "bytes", now);
        }
        let mut keeper = BanKeeper::factory(Arc::clone(&bans), store.clone(), Arc::new(move || now))();
        runtime::block_on(async {
            let refused = keeper.keep().await.unwrap_err().to_string();
            assert!(refused.contains("not this one"), "{refused}");
            assert_eq!(store.bans_list(Bans::memory_begins(now)).await.unwrap().len(), 4);
            assert_eq!(bans.unsaved().len(), 1);
            // Later ones are stored too, and what others stored is heard of.
            bans.add(Client::of(IpAddr::from([10, 0, 0, 6])), "bytes", now);
            keeper.ticks = TICKS_PER_REFRESH - 1;
            keeper.keep().await.unwrap_err();
            assert_eq!(store.bans_list(Bans::memory_begins(now)).await.unwrap().len(), 5);
            assert_eq!(bans.unsaved().len(), 1);
            sql("DROP TRIGGER refusal");
            keeper.keep().await.unwrap();
            assert_eq!(store.bans_list(Bans::memory_begins(now)).await.unwrap().len(), 6);
            assert!(bans.unsaved().is_empty());
        });
    }
}
