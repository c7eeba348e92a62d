//! `HintKeeper`: measured difficulties into the database, and back from it.
//!
//! What it refuses to do: be waited for. While the database is away, hints stay in memory.
use std::sync::Arc;

use messages::facts::Clock;
use runtime::{Actor, Fault, Handler, Message, Reply};
use store::Store;
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
pub struct KeepHints;

impl Message for KeepHints {
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
    failing: bool,
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
            failing: false,
        }
    }

    async fn keep(&mut self) -> store::Result<()> {
        self.write().await?;
        if self.ticks.is_multiple_of(TICKS_PER_REFRESH) {
            let now = (self.clock)();
            let oldest = Hints::oldest(now);
            let since = self.read_until.map_or(oldest, |until| Timestamp::from_ms(until.ms() - OVERLAP_MS).max(oldest));
            self.hints.load(self.store.hints_since(since, Hints::LOADED_MAX).await?);
            self.read_until = Some(now);
            self.store.hints_prune(oldest, CAPACITY as u32).await?;
        }
        self.ticks = self.ticks.wrapping_add(1);
        Ok(())
    }

    async fn write(&self) -> store::Result<()> {
        loop {
            let rows = self.hints.take_unwritten(BATCH);
            if rows.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.hints_put(&rows).await {
                self.hints.put_back(rows);
                return Err(error);
            }
        }
    }

    fn report(&mut self, outcome: store::Result<()>) {
        match outcome {
            Ok(()) => self.failing = false,
            Err(error) if self.failing => debug!(%error, "measured difficulties are still not stored"),
            Err(error) => {
                self.failing = true;
                warn!(%error, "measured difficulties are not stored; they stay in memory");
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

impl Handler<KeepHints> for HintKeeper {
    async fn handle(&mut self, _: KeepHints, reply: Reply<KeepHints>) -> Result<(), Fault> {
        let outcome = self.keep().await;
        self.report(outcome);
        reply.send(());
        Ok(())
    }
}
