//! The loop of every keeper: write what is new, and now and then read what others wrote.
use std::sync::Arc;

use messages::facts::Clock;
use messages::write_behind::WrittenBehind;
use runtime::{Actor, Fault, Handler, Reply};
use store::{Store, put_in_parts};
use tracing::{debug, warn};
use units::Timestamp;

use crate::table::{Records, Table};

/// The actor of one table.
pub struct Keeper<T: Table> {
    records: Arc<Records<T>>,
    table: T,
    store: Store,
    clock: Clock,
    ticks: u32,
    is_failing: bool,
}

/// Records under way to the database. Whatever is still among them at the end, be it an abort, is unsaved again.
struct Unsaved<'a, R: Clone> {
    memory: &'a dyn WrittenBehind<Record = R>,
    records: Vec<R>,
}

impl<R: Clone> Drop for Unsaved<'_, R> {
    fn drop(&mut self) {
        self.memory.put_back(&self.records);
    }
}

impl<T: Table> Keeper<T> {
    /// A factory for the supervisor.
    pub fn factory(records: Arc<Records<T>>, store: Store, clock: Clock) -> impl Fn() -> Keeper<T> {
        move || Keeper {
            records: Arc::clone(&records),
            table: T::default(),
            store: store.clone(),
            clock: Arc::clone(&clock),
            ticks: T::FIRST_TICK,
            is_failing: false,
        }
    }

    /// Fills memory from the database, before there is a keeper.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn load(records: &Records<T>, store: &Store, now: Timestamp) -> store::Result<()> {
        records.load(T::default().list(store, records.oldest(now), now).await?, now);
        Ok(())
    }

    /// One round, as each tick asks for it.
    ///
    /// # Errors
    /// Something is not stored, or was not read. What was refused stays unsaved, and is tried again with the next ones.
    pub async fn keep(&mut self) -> store::Result<()> {
        let now = (self.clock)();
        let written = self.write(now).await;
        if self.ticks.is_multiple_of(T::TICKS_PER_REFRESH) {
            let oldest = self.records.oldest(now);
            let stored = self.table.list(&self.store, oldest, now).await?;
            self.records.load(stored, now);
            self.table.prune(&self.store, oldest).await?;
        }
        self.ticks = self.ticks.wrapping_add(1);
        written
    }

    async fn write(&self, now: Timestamp) -> store::Result<()> {
        let oldest = self.records.oldest(now);
        let mut unsaved = Unsaved { memory: &*self.records, records: Vec::new() };
        let mut failure = None;
        loop {
            let batch = self.records.take_unsaved(T::BATCH);
            let (refused, is_last) = (unsaved.records.len(), batch.len() < T::BATCH);
            unsaved.records.extend_from_slice(&batch);
            let put = async |part: &[T::Record]| self.table.put(&self.store, part, oldest).await;
            let written = put_in_parts(batch, put).await;
            unsaved.records.truncate(refused);
            unsaved.records.extend(written.left);
            failure = failure.or(written.error);
            if is_last || !written.is_about_rows {
                return failure.map_or(Ok(()), Err);
            }
        }
    }
}

impl<T: Table> Actor for Keeper<T> {
    const NAME: &'static str = T::NAME;

    /// What was decided until now; sessions that a drain has ended noted what they measured.
    async fn close(&mut self) {
        if let Err(error) = self.write((self.clock)()).await {
            warn!(%error, "last {} not stored", T::WHAT);
        }
    }
}

impl<T: Table> Handler<T::Tick> for Keeper<T> {
    async fn handle(&mut self, _: T::Tick, reply: Reply<T::Tick>) -> Result<(), Fault> {
        match self.keep().await {
            Ok(()) => self.is_failing = false,
            Err(error) if self.is_failing => debug!(%error, "{} still not stored", T::WHAT),
            Err(error) => {
                self.is_failing = true;
                warn!(%error, "{}", T::NOT_STORED);
            }
        }
        reply.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::{Context, Waker};

    use messages::write_behind::StoreBans;

    use super::*;

    /// A table that gives no answer.
    #[derive(Default)]
    struct Silent;

    impl Table for Silent {
        type Record = u32;
        type Tick = StoreBans;
        const NAME: &'static str = "silent_keeper";
        const WHAT: &'static str = "numbers";
        const NOT_STORED: &'static str = "numbers not stored";
        const BATCH: usize = 2;
        const TICKS_PER_REFRESH: u32 = 1;
        const FIRST_TICK: u32 = 1;

        async fn put(&self, _: &Store, _: &[u32], _: Timestamp) -> store::Result<()> {
            std::future::pending().await
        }

        async fn list(&mut self, _: &Store, _: Timestamp, _: Timestamp) -> store::Result<Vec<u32>> {
            Ok(Vec::new())
        }
    }

    #[derive(Default)]
    struct Numbers(Mutex<Vec<u32>>);

    impl WrittenBehind for Numbers {
        type Record = u32;

        fn take_unsaved(&self, limit: usize) -> Vec<u32> {
            let mut unsaved = self.0.lock().unwrap();
            let many = unsaved.len().min(limit);
            unsaved.drain(..many).collect()
        }

        fn put_back(&self, records: &[u32]) {
            self.0.lock().unwrap().extend(records);
        }

        fn load(&self, _: Vec<u32>, _: Timestamp) {}

        fn oldest(&self, now: Timestamp) -> Timestamp {
            now
        }
    }

    #[test]
    fn what_was_under_way_when_the_keeper_is_aborted_is_unsaved_again() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("pool.sqlite").display());
        Store::migrate(&url).unwrap();
        let store = Store::open(&url, 1).unwrap();
        let numbers = Arc::new(Numbers::default());
        numbers.put_back(&[1, 2, 3]);
        let memory: Arc<Records<Silent>> = numbers.clone();
        let mut keeper = Keeper::<Silent>::factory(memory, store, Arc::new(|| Timestamp::from_ms(0)))();
        {
            let mut round = std::pin::pin!(keeper.keep());
            assert!(round.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(*numbers.0.lock().unwrap(), [3]);
        }
        assert_eq!(*numbers.0.lock().unwrap(), [3, 1, 2]);
    }
}
