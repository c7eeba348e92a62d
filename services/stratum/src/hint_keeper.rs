//! `HintKeeper`: measured difficulties into the database, and back from it.
//!
//! What it refuses to do: be waited for. While the database is away, hints stay in memory.
use std::sync::Arc;

use messages::facts::Clock;
use runtime::{Actor, Fault, Handler, Message, Reply};
use store::{Store, put_in_parts};
use tracing::{debug, warn};
use units::Timestamp;

use crate::hints::{CAPACITY, Hints};

/// Hints of one statement.
const BATCH: usize = 2000;
/// Ticks between two looks at what other hosts have stored and what is too old.
const TICKS_PER_REFRESH: u32 = 60;
/// Hosts may differ by so much in their clocks, and in when they write.
const OVERLAP_MS: i64 = 15 * 60 * 1000;

/// Store new hints; now and then take over stored ones.
#[derive(Debug)]
pub struct StoreHints;

impl Message for StoreHints {
    type Reply = ();
    const NAME: &'static str = "keep_hints";
    const URGENT: bool = true;
}

/// The actor.
pub struct HintKeeper {
    hints: Arc<Hints>,
    store: Store,
    clock: Clock,
    ticks: u32,
    /// Everything stored up to here was read.
    read_until: Option<Timestamp>,
    is_failing: bool,
}

impl HintKeeper {
    /// A factory for the supervisor.
    pub fn factory(hints: Arc<Hints>, store: Store, clock: Clock) -> impl Fn() -> HintKeeper {
        move || HintKeeper {
            hints: Arc::clone(&hints),
            store: store.clone(),
            clock: Arc::clone(&clock),
            ticks: 0,
            read_until: None,
            is_failing: false,
        }
    }

    async fn keep(&mut self) -> store::Result<()> {
        let written = self.write().await;
        if self.ticks.is_multiple_of(TICKS_PER_REFRESH) {
            let now = (self.clock)();
            let oldest = Hints::oldest(now);
            let since = self.read_until.map_or(oldest, |until| Timestamp::from_ms(until.ms() - OVERLAP_MS).max(oldest));
            self.hints.load(self.store.hints_since(since, Hints::LOADED_MAX).await?);
            self.read_until = Some(now);
            self.store.hints_prune(oldest, CAPACITY as u32).await?;
        }
        self.ticks = self.ticks.wrapping_add(1);
        written
    }

    /// What is refused is tried again with the next ones.
    async fn write(&self) -> store::Result<()> {
        let (mut left, mut failure) = (Vec::new(), None);
        loop {
            let rows = self.hints.take_unwritten(BATCH);
            if rows.is_empty() {
                break;
            }
            let written = put_in_parts(rows, async |rows| self.store.hints_put(rows).await).await;
            left.extend(written.left);
            failure = failure.or(written.error);
            if !written.is_about_rows {
                break;
            }
        }
        self.hints.put_back(left);
        failure.map_or(Ok(()), Err)
    }

    fn report(&mut self, outcome: store::Result<()>) {
        match outcome {
            Ok(()) => self.is_failing = false,
            Err(error) if self.is_failing => debug!(%error, "vardiff hints still not stored"),
            Err(error) => {
                self.is_failing = true;
                warn!(%error, "vardiff hints not stored, will retry");
            }
        }
    }
}

impl Actor for HintKeeper {
    const NAME: &'static str = "hint_keeper";

    /// The sessions that a drain has ended noted what they measured.
    async fn close(&mut self) {
        let outcome = self.write().await;
        self.report(outcome);
    }
}

impl Handler<StoreHints> for HintKeeper {
    async fn handle(&mut self, _: StoreHints, reply: Reply<StoreHints>) -> Result<(), Fault> {
        let outcome = self.keep().await;
        self.report(outcome);
        reply.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    use messages::facts::Origin;
    use units::Difficulty;

    use super::*;
    use crate::hints::Hint;

    #[test]
    fn a_hint_that_the_database_refuses_keeps_no_other_out_and_is_stored_when_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.sqlite").display().to_string();
        Store::migrate(&format!("sqlite:{path}")).unwrap();
        let sql = |text| SqliteConnection::establish(&path).unwrap().batch_execute(text).unwrap();
        sql("CREATE TRIGGER refusal BEFORE INSERT ON vardiff_hints WHEN NEW.worker = 'rig-7' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END");
        let store = Store::open(&format!("sqlite:{path}"), 2).unwrap();
        let now = Timestamp::from_ms(1_795_000_000_000);
        let hints = Arc::new(Hints::new(Arc::default()));
        let measured = |n: usize| {
            let hint = Hint { difficulty: Difficulty::ONE, measured_at: now, origin: Origin([1; 16]) };
            (("W1".into(), format!("rig-{n}").as_str().into()), hint)
        };
        hints.note((0..BATCH + 10).map(measured));
        let mut keeper = HintKeeper::factory(Arc::clone(&hints), store.clone(), Arc::new(move || now))();
        runtime::block_on(async {
            let stored = async || store.hints_since(Hints::oldest(now), 10_000).await.unwrap().len();
            let refused = keeper.keep().await.unwrap_err().to_string();
            assert!(refused.contains("not this one"), "{refused}");
            assert_eq!(stored().await, BATCH + 9);
            assert_eq!(keeper.read_until, Some(now), "what other hosts stored was read");
            hints.note([measured(BATCH + 10)]);
            keeper.keep().await.unwrap_err();
            assert_eq!(stored().await, BATCH + 10);
            sql("DROP TRIGGER refusal");
            keeper.keep().await.unwrap();
            assert_eq!(stored().await, BATCH + 11);
        });
    }
}
