//! `PenaltyKeeper`: penalties into the database, and back from it.
//!
//! What it refuses to do: decide, and stand between a strike and its effect. While the database is away, restrictions
//! are in force all the same and are written when it is back.
use std::sync::Arc;

use messages::facts::Clock;
use messages::validation::StorePenalties;
use runtime::{Actor, Fault, Handler, Reply};
use store::{Store, put_in_parts};
use tracing::{debug, warn};

use crate::Penalties;

/// Ticks between two looks at what other hosts and the operator stored.
const TICKS_PER_REFRESH: u32 = 12;

/// The actor.
pub struct PenaltyKeeper {
    penalties: Arc<Penalties>,
    store: Store,
    clock: Clock,
    ticks: u32,
    is_failing: bool,
}

impl PenaltyKeeper {
    /// A factory for the supervisor.
    pub fn factory(penalties: Arc<Penalties>, store: Store, clock: Clock) -> impl Fn() -> PenaltyKeeper {
        move || PenaltyKeeper {
            penalties: Arc::clone(&penalties),
            store: store.clone(),
            clock: Arc::clone(&clock),
            ticks: 0,
            is_failing: false,
        }
    }

    async fn keep(&mut self) -> store::Result<()> {
        let now = (self.clock)();
        let dirty = self.penalties.take_dirty();
        let written = put_in_parts(dirty, async |rows| self.store.suspects_put(rows, now).await).await;
        // What is refused is tried again with the next ones.
        self.penalties.put_back(&written.left);
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_REFRESH) {
            self.penalties.refresh(self.store.suspects_list(now).await?, now);
        }
        written.error.map_or(Ok(()), Err)
    }
}

impl Actor for PenaltyKeeper {
    const NAME: &'static str = "suspect_keeper";

    async fn close(&mut self) {
        if let Err(error) = self.keep().await {
            warn!(%error, "last penalties not stored");
        }
    }
}

impl Handler<StorePenalties> for PenaltyKeeper {
    async fn handle(&mut self, _: StorePenalties, reply: Reply<StorePenalties>) -> Result<(), Fault> {
        match self.keep().await {
            Ok(()) => self.is_failing = false,
            Err(error) if self.is_failing => debug!(%error, "penalties still not stored"),
            Err(error) => {
                self.is_failing = true;
                warn!(%error, "penalties not stored, will retry; they are in force");
            }
        }
        reply.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    use messages::facts::Origin;
    use settings::ValidationSettings;
    use units::Timestamp;

    use super::*;

    #[test]
    fn a_strike_that_the_database_refuses_keeps_no_other_out_and_is_stored_when_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.sqlite").display().to_string();
        Store::migrate(&format!("sqlite:{path}")).unwrap();
        let sql = |text| SqliteConnection::establish(&path).unwrap().batch_execute(text).unwrap();
        sql("CREATE TRIGGER refusal BEFORE INSERT ON penalties WHEN NEW.address = 'W2' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END");
        let store = Store::open(&format!("sqlite:{path}"), 2).unwrap();
        let now = Timestamp::from_ms(1_795_000_000_000);
        let penalties = Arc::new(Penalties::new(Vec::new(), ValidationSettings::default(), Arc::default(), now));
        let strike = |n: usize| {
            penalties.strike(&(format!("W{n}").as_str().into(), Origin([1; 16])), now);
        };
        (1..=5).for_each(strike);
        let mut keeper = PenaltyKeeper::factory(Arc::clone(&penalties), store.clone(), Arc::new(move || now))();
        runtime::block_on(async {
            let refused = keeper.keep().await.unwrap_err().to_string();
            assert!(refused.contains("not this one"), "{refused}");
            assert_eq!(store.suspects_list(now).await.unwrap().len(), 4);
            strike(6);
            keeper.ticks = TICKS_PER_REFRESH - 1;
            keeper.keep().await.unwrap_err();
            assert_eq!(store.suspects_list(now).await.unwrap().len(), 5);
            assert_eq!(penalties.restrictions().forced.len(), 6, "it is in force all the same");
            sql("DROP TRIGGER refusal");
            keeper.keep().await.unwrap();
            assert_eq!(store.suspects_list(now).await.unwrap().len(), 6);
        });
    }
}
