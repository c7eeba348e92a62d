//! Difficulties that earlier sessions measured, by address and worker.
//!
//! One map for all arbiters. It is locked for the length of a look-up: at a login, at the end of a session, and now
//! and then for what running sessions have measured. No share touches it.
//!
//! Bound: [`CAPACITY`] workers. At the bound those that were not measured for the longest time go, in halves; a running
//! session is noted again every few minutes, so a flood of made-up workers does not drive out those that mine.
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messages::facts::Origin;
use messages::write_behind::{HINTS_MAX, HintRecord, WrittenBehind};
use units::{Difficulty, Timestamp};

use crate::metrics::StratumMetrics;
use crate::vardiff::FORGOTTEN;

/// Workers that are remembered, in memory and in the database.
const CAPACITY: usize = HINTS_MAX as usize;

/// Address and worker.
pub(crate) type Worker = (Arc<str>, Arc<str>);

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) difficulty: Difficulty,
    pub(crate) measured_at: Timestamp,
    pub(crate) origin: Origin,
}

/// The hints of a host.
#[derive(Debug)]
pub struct Hints {
    kept: Mutex<HintGenerations>,
    metrics: Arc<StratumMetrics>,
}

/// Two generations: what is noted goes to the young one; when it is full, the old one is forgotten.
#[derive(Debug)]
struct HintGenerations {
    young: HashMap<Worker, Hint>,
    old: HashMap<Worker, Hint>,
    /// Not stored yet.
    unwritten: HashSet<Worker>,
    generation_max: usize,
}

impl Hints {
    /// None yet.
    #[must_use]
    pub fn new(metrics: Arc<StratumMetrics>) -> Hints {
        Hints::with_capacity(CAPACITY, metrics)
    }

    fn with_capacity(capacity: usize, metrics: Arc<StratumMetrics>) -> Hints {
        let (young, old, unwritten) = Default::default();
        Hints {
            kept: Mutex::new(HintGenerations { young, old, unwritten, generation_max: (capacity / 2).max(1) }),
            metrics,
        }
    }

    pub(crate) fn find(&self, worker: &Worker) -> Option<Hint> {
        self.lock().find(worker)
    }

    /// Notes what sessions have measured.
    pub(crate) fn note(&self, measured: impl IntoIterator<Item = (Worker, Hint)>) {
        let mut kept = self.lock();
        for (worker, hint) in measured {
            if kept.note(worker.clone(), hint, &self.metrics) {
                kept.unwritten.insert(worker);
            }
        }
        self.metrics.difficulty_hints.set(kept.len());
    }

    fn lock(&self) -> MutexGuard<'_, HintGenerations> {
        // A panic between two inserts leaves nothing that a login could not live with.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WrittenBehind for Hints {
    type Record = HintRecord;

    fn take_unsaved(&self, limit: usize) -> Vec<HintRecord> {
        let mut kept = self.lock();
        let workers: Vec<Worker> = kept.unwritten.iter().take(limit).cloned().collect();
        let mut records = Vec::with_capacity(workers.len());
        for worker in workers {
            kept.unwritten.remove(&worker);
            if let Some(Hint { difficulty, measured_at, origin }) = kept.find(&worker) {
                let (address, worker) = worker;
                records.push(HintRecord { address, worker, origin, difficulty, measured_at });
            }
        }
        records
    }

    fn put_back(&self, records: &[HintRecord]) {
        let mut kept = self.lock();
        for record in records {
            let worker = (Arc::clone(&record.address), Arc::clone(&record.worker));
            if kept.find(&worker).is_some() {
                kept.unwritten.insert(worker);
            }
        }
    }

    /// The newest come first; what is known better stays.
    fn load(&self, stored: Vec<HintRecord>, _now: Timestamp) {
        let mut kept = self.lock();
        for HintRecord { address, worker, origin, difficulty, measured_at } in stored {
            if kept.young.len() < kept.generation_max {
                kept.note((address, worker), Hint { difficulty, measured_at, origin }, &self.metrics);
            }
        }
        self.metrics.difficulty_hints.set(kept.len());
    }

    fn oldest(&self, now: Timestamp) -> Timestamp {
        now.minus(FORGOTTEN)
    }
}

impl HintGenerations {
    fn find(&self, worker: &Worker) -> Option<Hint> {
        self.young.get(worker).or_else(|| self.old.get(worker)).copied()
    }

    /// False when it is known already, or something newer.
    fn note(&mut self, worker: Worker, hint: Hint, metrics: &StratumMetrics) -> bool {
        if self.find(&worker).is_some_and(|known| known.measured_at >= hint.measured_at) {
            return false;
        }
        if self.young.len() >= self.generation_max && !self.young.contains_key(&worker) {
            self.old = std::mem::take(&mut self.young);
            let (old, before) = (&self.old, self.unwritten.len());
            self.unwritten.retain(|worker| old.contains_key(worker));
            metrics.difficulty_hints_dropped_total.add((before - self.unwritten.len()) as u64);
        }
        self.old.remove(&worker);
        self.young.insert(worker, hint);
        true
    }

    fn len(&self) -> u64 {
        (self.young.len() + self.old.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    use keepers::{HintKeeper, HintTable, Table};
    use store::Store;

    use super::*;

    fn worker(name: &str) -> Worker {
        ("W1".into(), name.into())
    }

    fn hint(difficulty: u64, at: i64) -> Hint {
        let difficulty = Difficulty::new(difficulty).unwrap();
        Hint { difficulty, measured_at: Timestamp::from_ms(at), origin: Origin([1; 16]) }
    }

    fn hints(capacity: usize) -> Hints {
        Hints::with_capacity(capacity, Arc::new(StratumMetrics::default()))
    }

    #[test]
    fn the_newest_measurement_is_found_and_stored_once() {
        let hints = hints(10);
        hints.note([(worker("a"), hint(60, 1)), (worker("b"), hint(70, 1))]);
        hints.note([(worker("a"), hint(80, 2)), (worker("b"), hint(90, 1))]);
        assert_eq!([hints.find(&worker("a")), hints.find(&worker("b"))], [Some(hint(80, 2)), Some(hint(70, 1))]);
        assert_eq!(hints.take_unsaved(1).len(), 1);
        assert_eq!(hints.take_unsaved(10).len(), 1);
        assert_eq!(hints.take_unsaved(10), []);
    }

    #[test]
    fn what_the_database_did_not_take_is_offered_again_with_what_came_since() {
        let hints = hints(10);
        hints.note([(worker("a"), hint(60, 1))]);
        let refused = hints.take_unsaved(10);
        hints.note([(worker("a"), hint(80, 2))]);
        hints.put_back(&refused);
        let again = hints.take_unsaved(10);
        assert_eq!(again.iter().map(|row| row.difficulty.get()).collect::<Vec<_>>(), [80]);
    }

    #[test]
    fn what_is_loaded_is_not_written_again_and_replaces_nothing_newer() {
        let hints = hints(10);
        hints.note([(worker("a"), hint(60, 5))]);
        let rows = hints.take_unsaved(10);
        let now = Timestamp::from_ms(6);
        let older = HintRecord { measured_at: Timestamp::from_ms(4), difficulty: Difficulty::ONE, ..rows[0].clone() };
        hints.load(vec![older], now);
        hints.load(vec![HintRecord { worker: "b".into(), ..rows[0].clone() }], now);
        assert_eq!([hints.find(&worker("a")), hints.find(&worker("b"))], [Some(hint(60, 5)); 2]);
        assert_eq!(hints.take_unsaved(10), []);
    }

    #[test]
    fn a_flood_of_workers_forgets_the_oldest_and_never_one_that_is_noted_again() {
        let hints = hints(10);
        for n in 0..1000 {
            hints.note([(worker(&n.to_string()), hint(60, n))]);
            if n % 4 == 0 {
                hints.note([(worker("mines"), hint(60, n))]);
            }
            assert!(hints.find(&worker("mines")).is_some());
        }
        assert!(hints.find(&worker("0")).is_none() && hints.find(&worker("999")).is_some());
        assert!(hints.lock().len() <= 10 && hints.lock().unwritten.len() <= 10);
        let kept = hints.take_unsaved(1000).len() as u64;
        assert_eq!(hints.metrics.difficulty_hints.get(), hints.lock().len());
        assert!(hints.metrics.difficulty_hints_dropped_total.get() >= 1001 - kept - 10);
    }

    #[test]
    fn a_hint_that_the_database_refuses_keeps_no_other_out_and_is_stored_when_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.sqlite").display().to_string();
        Store::migrate(&format!("sqlite:{path}")).unwrap();
        let sql = |text| {
            // The store may be writing.
            let text = format!("PRAGMA busy_timeout = 5000; {text}");
            SqliteConnection::establish(&path).unwrap().batch_execute(&text).unwrap();
        };
        sql("CREATE TRIGGER refusal BEFORE INSERT ON vardiff_hints WHEN NEW.worker = 'rig-7' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END");
        let store = Store::open(&format!("sqlite:{path}"), 2).unwrap();
        let now = Timestamp::from_ms(1_795_000_000_000);
        let hints = Arc::new(Hints::new(Arc::default()));
        let measured = |n: usize| (worker(&format!("rig-{n}")), hint(60, now.ms()));
        const MANY: usize = HintTable::BATCH + 10;
        hints.note((0..MANY).map(measured));
        let elsewhere = HintRecord {
            address: "W1".into(),
            worker: "elsewhere".into(),
            origin: Origin([1; 16]),
            difficulty: Difficulty::ONE,
            measured_at: now,
        };
        let memory = Arc::clone(&hints);
        let mut keeper = HintKeeper::factory(memory, store.clone(), Arc::new(move || now))();
        runtime::block_on(async {
            HintTable::default().put(&store, &[elsewhere], now).await.unwrap();
            let stored = async || store.hints_since(hints.oldest(now), 10_000).await.unwrap().len() - 1;
            let refused = keeper.keep().await.unwrap_err().to_string();
            assert!(refused.contains("not this one"), "{refused}");
            assert_eq!(stored().await, MANY - 1);
            assert!(hints.find(&worker("elsewhere")).is_some(), "what other hosts stored was read");
            hints.note([measured(MANY)]);
            keeper.keep().await.unwrap_err();
            assert_eq!(stored().await, MANY);
            sql("DROP TRIGGER refusal");
            keeper.keep().await.unwrap();
            assert_eq!(stored().await, MANY + 1);
        });
    }
}
