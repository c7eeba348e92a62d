//! TrustTable that sent false shares: strikes, forced proofs and quarantine, each with an end.
//!
//! Decided in memory and in force at once, whatever the database does; written behind by
//! the keeper of penalties. It survives the actor, and blames nobody beyond the (address, origin).
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messages::facts::{Quarantine, Restrictions, TrustKey};
use messages::write_behind::{PenaltyRecord, WrittenBehind};
use settings::ValidationSettings;
use tokio::sync::watch;
use units::Timestamp;

use crate::metrics::ValidationMetrics;

/// Penalties kept. Beyond it the one that would be forgotten first goes first.
pub const PENALTIES_MAX: usize = 10_000;
/// What miners are told.
const REASON: &str = "invalid share proof";

/// All penalties, and what follows for the front.
#[derive(Debug)]
pub struct Penalties {
    kept: Mutex<PenaltyTable>,
    published: watch::Sender<Arc<Restrictions>>,
    settings: ValidationSettings,
    metrics: Arc<ValidationMetrics>,
}

#[derive(Debug, Default)]
struct PenaltyTable {
    penalties: HashMap<TrustKey, Penalty>,
    /// Those that are not in the database yet.
    dirty: HashSet<TrustKey>,
    /// When a restriction ends next.
    next_end: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Penalty {
    strikes: u32,
    struck_at: Timestamp,
    forced_until: Timestamp,
    quarantined_until: Option<Timestamp>,
    /// Its uncredited work from before then is still to be voided.
    void_before: Option<Timestamp>,
}

impl Penalty {
    /// When its strikes are forgiven.
    fn ends(&self, settings: &ValidationSettings) -> Timestamp {
        let counted = self.quarantined_until.unwrap_or(self.struck_at).max(self.struck_at);
        counted.plus(settings.strike_window).max(self.forced_until)
    }
}

impl Penalties {
    /// With what was stored.
    #[must_use]
    pub fn new(
        stored: Vec<PenaltyRecord>,
        settings: ValidationSettings,
        metrics: Arc<ValidationMetrics>,
        now: Timestamp,
    ) -> Penalties {
        let penalties = Penalties { kept: Mutex::default(), published: watch::Sender::default(), settings, metrics };
        penalties.load(stored, now);
        penalties
    }

    fn kept(&self) -> MutexGuard<'_, PenaltyTable> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the front follows.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Restrictions>> {
        self.published.subscribe()
    }

    /// What is in force.
    pub(crate) fn restrictions(&self) -> Arc<Restrictions> {
        Arc::clone(&self.published.borrow())
    }

    /// Notes a false share; whether the pair is refused from now on.
    pub(crate) fn strike(&self, pair: &TrustKey, now: Timestamp) -> bool {
        let settings = &self.settings;
        let mut kept = self.kept();
        let before = kept.penalties.get(pair).copied().filter(|penalty| penalty.ends(settings) > now);
        if kept.penalties.len() >= PENALTIES_MAX && !kept.penalties.contains_key(pair) {
            let first = kept.penalties.iter().min_by_key(|(_, penalty)| penalty.ends(settings));
            if let Some(first) = first.map(|(pair, _)| pair.clone()) {
                kept.penalties.remove(&first);
                kept.dirty.remove(&first);
            }
        }
        let strikes = before.map_or(1, |penalty| penalty.strikes.saturating_add(1));
        let beyond = strikes.checked_sub(settings.quarantine_strikes).filter(|_| settings.quarantine_strikes > 0);
        let sentence = beyond.map(|beyond| {
            let doubled = settings.quarantine_duration.saturating_mul(2u32.saturating_pow(beyond));
            now.plus(doubled.min(settings.max_quarantine_duration))
        });
        let penalty = Penalty {
            strikes,
            struck_at: now,
            forced_until: now.plus(settings.forced_verify_duration),
            quarantined_until: sentence.max(before.and_then(|penalty| penalty.quarantined_until)),
            void_before: Some(now),
        };
        kept.penalties.insert(pair.clone(), penalty);
        kept.dirty.insert(pair.clone());
        self.publish(&mut kept, now);
        sentence.is_some()
    }

    /// A pair whose uncredited work is still to be voided, and from before when.
    pub(crate) fn to_void(&self) -> Option<(TrustKey, Timestamp)> {
        let kept = self.kept();
        kept.penalties.iter().find_map(|(pair, penalty)| Some((pair.clone(), penalty.void_before?)))
    }

    /// That is done, unless there was another strike meanwhile.
    pub(crate) fn voided(&self, pair: &TrustKey, before: Timestamp) {
        let mut kept = self.kept();
        let Some(penalty) = kept.penalties.get_mut(pair) else { return };
        if penalty.void_before == Some(before) {
            penalty.void_before = None;
            kept.dirty.insert(pair.clone());
        }
    }

    /// Ends what is over.
    pub(crate) fn look(&self, now: Timestamp) {
        let mut kept = self.kept();
        if kept.next_end.is_some_and(|end| end <= now) {
            self.publish(&mut kept, now);
        }
    }

    /// Forgets who is forgiven and tells what is in force.
    fn publish(&self, kept: &mut PenaltyTable, now: Timestamp) {
        let PenaltyTable { penalties, dirty, next_end } = kept;
        penalties.retain(|_, penalty| penalty.ends(&self.settings) > now);
        dirty.retain(|pair| penalties.contains_key(pair));
        let mut restrictions = Restrictions::default();
        *next_end = None;
        let mut note = |end: Timestamp| {
            let runs = end > now;
            if runs {
                *next_end = Some(next_end.map_or(end, |next| next.min(end)));
            }
            runs
        };
        for (pair, penalty) in penalties {
            note(penalty.ends(&self.settings));
            if note(penalty.forced_until) {
                restrictions.forced.insert(pair.clone());
            }
            if let Some(until) = penalty.quarantined_until.filter(|until| note(*until)) {
                let quarantine = Quarantine { reason: REASON, strikes: penalty.strikes, until };
                restrictions.quarantined.insert(pair.clone(), quarantine);
            }
        }
        self.metrics.pairs_forced.set(restrictions.forced.len() as u64);
        self.metrics.pairs_quarantined.set(restrictions.quarantined.len() as u64);
        self.published.send_replace(Arc::new(restrictions));
    }
}

impl WrittenBehind for Penalties {
    type Record = PenaltyRecord;

    fn take_unsaved(&self, limit: usize) -> Vec<PenaltyRecord> {
        let mut kept = self.kept();
        let pairs: Vec<TrustKey> = kept.dirty.iter().take(limit).cloned().collect();
        let mut records = Vec::with_capacity(pairs.len());
        for pair in pairs {
            kept.dirty.remove(&pair);
            records.extend(kept.penalties.get(&pair).map(|penalty| PenaltyRecord {
                pair,
                reason: REASON.to_owned(),
                strikes: penalty.strikes,
                struck_at: penalty.struck_at,
                forced_until: penalty.forced_until,
                quarantined_until: penalty.quarantined_until,
                void_before: penalty.void_before,
                ends_at: penalty.ends(&self.settings),
            }));
        }
        records
    }

    fn put_back(&self, records: &[PenaltyRecord]) {
        self.kept().dirty.extend(records.iter().map(|record| record.pair.clone()));
    }

    /// Other hosts judge too, and an operator forgives a pair by deleting its row. What is not stored yet stays.
    fn load(&self, stored: Vec<PenaltyRecord>, now: Timestamp) {
        let mut kept = self.kept();
        let PenaltyTable { penalties, dirty, .. } = &mut *kept;
        penalties.retain(|pair, _| dirty.contains(pair));
        for record in stored.into_iter().take(PENALTIES_MAX) {
            let penalty = Penalty {
                strikes: record.strikes,
                struck_at: record.struck_at,
                forced_until: record.forced_until,
                quarantined_until: record.quarantined_until,
                void_before: record.void_before,
            };
            penalties.entry(record.pair).or_insert(penalty);
        }
        self.publish(&mut kept, now);
    }

    fn oldest(&self, now: Timestamp) -> Timestamp {
        now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    use keepers::{PenaltyKeeper, PenaltyTable, Table};
    use messages::facts::Origin;
    use store::Store;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn pair(n: usize) -> TrustKey {
        (n.to_string().into(), Origin([1; 16]))
    }

    fn penalties() -> Penalties {
        Penalties::new(Vec::new(), ValidationSettings::default(), Arc::default(), NOW)
    }

    fn is_forced(penalties: &Penalties, n: usize) -> bool {
        penalties.restrictions().forced.contains(&pair(n))
    }

    #[test]
    fn the_third_strike_is_a_quarantine_that_doubles_up_to_a_week() {
        let penalties = penalties();
        let mut now = NOW;
        let mut hours = Vec::new();
        for _ in 0..11 {
            let refused = penalties.strike(&pair(1), now);
            let until = penalties.restrictions().quarantined.get(&pair(1)).map_or(now, |found| found.until);
            assert_eq!(refused, until > now);
            assert!(is_forced(&penalties, 1));
            hours.push(until.since(now).as_secs() / 3600);
            now = until;
        }
        assert_eq!(hours, [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 168]);
        assert!(penalties.restrictions().forced.len() == 1 && penalties.restrictions().quarantined.len() == 1);
    }

    #[test]
    fn every_restriction_ends_and_then_all_is_forgiven() {
        let penalties = penalties();
        for _ in 0..3 {
            penalties.strike(&pair(1), NOW);
        }
        penalties.strike(&pair(2), NOW.plus(HOUR));
        penalties.look(NOW.plus(HOUR));
        assert!(penalties.restrictions().quarantined.is_empty() && is_forced(&penalties, 1));
        penalties.look(NOW.plus(24 * HOUR));
        assert!(!is_forced(&penalties, 1) && is_forced(&penalties, 2));
        assert_eq!(penalties.kept().penalties.len(), 2, "strikes count for a day after the quarantine");
        penalties.look(NOW.plus(25 * HOUR));
        assert_eq!(penalties.kept().penalties.len(), 0);
        assert_eq!(penalties.restrictions().forced.len(), 0);
        assert!(!penalties.strike(&pair(1), NOW.plus(25 * HOUR)), "it begins again with the first");
    }

    #[test]
    fn what_was_stored_is_in_force_again() {
        let penalties = penalties();
        for _ in 0..3 {
            penalties.strike(&pair(1), NOW);
        }
        let rows = penalties.take_unsaved(9);
        assert!(rows.len() == 1 && penalties.take_unsaved(9).is_empty());
        let again = Penalties::new(rows.clone(), ValidationSettings::default(), Arc::default(), NOW);
        assert!(again.restrictions().quarantined.contains_key(&pair(1)) && is_forced(&again, 1));
        assert_eq!(again.metrics.pairs_quarantined.get(), 1);
        assert!(again.strike(&pair(1), NOW));
        penalties.put_back(&rows);
        assert_eq!(penalties.take_unsaved(9), rows);
        penalties.load(Vec::new(), NOW);
        assert!(!is_forced(&penalties, 1), "an operator has deleted the row");
    }

    #[test]
    fn the_number_of_penalties_is_bounded_and_the_oldest_goes_first() {
        let rows = (0..PENALTIES_MAX).map(|n| PenaltyRecord {
            pair: pair(n),
            reason: String::new(),
            strikes: 1,
            struck_at: NOW.plus(Duration::from_millis(n as u64)),
            forced_until: NOW.plus(Duration::from_millis(n as u64)),
            quarantined_until: None,
            void_before: None,
            ends_at: NOW,
        });
        let penalties = Penalties::new(rows.collect(), ValidationSettings::default(), Arc::default(), NOW);
        penalties.strike(&pair(PENALTIES_MAX), NOW);
        let kept = penalties.kept();
        assert_eq!(kept.penalties.len(), PENALTIES_MAX);
        assert!(!kept.penalties.contains_key(&pair(0)) && kept.penalties.contains_key(&pair(PENALTIES_MAX)));
    }

    #[test]
    fn a_void_is_owed_until_it_is_done_over_restarts_too() {
        let penalties = penalties();
        assert!(penalties.to_void().is_none());
        penalties.strike(&pair(1), NOW);
        let again = Penalties::new(penalties.take_unsaved(9), ValidationSettings::default(), Arc::default(), NOW);
        assert_eq!(again.to_void(), Some((pair(1), NOW)));
        again.strike(&pair(1), NOW.plus(HOUR));
        again.voided(&pair(1), NOW);
        assert_eq!(again.to_void(), Some((pair(1), NOW.plus(HOUR))), "there was another one meanwhile");
        again.voided(&pair(1), NOW.plus(HOUR));
        assert!(again.to_void().is_none());
        assert_eq!(again.take_unsaved(9)[0].void_before, None);
    }

    #[test]
    fn a_quarantine_can_be_switched_off() {
        let settings = ValidationSettings { quarantine_strikes: 0, ..ValidationSettings::default() };
        let penalties = Penalties::new(Vec::new(), settings, Arc::default(), NOW);
        assert!((0..10).all(|_| !penalties.strike(&pair(1), NOW)));
        assert!(penalties.restrictions().quarantined.is_empty());
    }

    #[test]
    fn a_strike_that_the_database_refuses_keeps_no_other_out_and_is_stored_when_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.sqlite").display().to_string();
        Store::migrate(&format!("sqlite:{path}")).unwrap();
        let sql = |text| {
            // The store may be writing.
            let text = format!("PRAGMA busy_timeout = 5000; {text}");
            SqliteConnection::establish(&path).unwrap().batch_execute(&text).unwrap();
        };
        sql("CREATE TRIGGER refusal BEFORE INSERT ON penalties WHEN NEW.address = '2' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END");
        let store = Store::open(&format!("sqlite:{path}"), 2).unwrap();
        let penalties = Arc::new(penalties());
        let strike = |n: usize| {
            penalties.strike(&pair(n), NOW);
        };
        (1..=5).for_each(strike);
        let memory = Arc::clone(&penalties);
        let mut keeper = PenaltyKeeper::factory(memory, store.clone(), Arc::new(|| NOW))();
        runtime::block_on(async {
            let refused = keeper.keep().await.unwrap_err().to_string();
            assert!(refused.contains("not this one"), "{refused}");
            assert_eq!(store.penalties_list(NOW).await.unwrap().len(), 4);
            strike(6);
            for _ in 1..PenaltyTable::TICKS_PER_REFRESH {
                keeper.keep().await.unwrap_err();
            }
            assert_eq!(store.penalties_list(NOW).await.unwrap().len(), 5);
            assert_eq!(penalties.restrictions().forced.len(), 6, "it is in force all the same");
            sql("DROP TRIGGER refusal");
            keeper.keep().await.unwrap();
            assert_eq!(store.penalties_list(NOW).await.unwrap().len(), 6);
        });
    }
}
