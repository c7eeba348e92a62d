//! Pairs that sent false shares: strikes, forced proofs and quarantine, each with an end.
//!
//! Decided in memory and in force at once, whatever the database does; written behind by
//! the keeper of penalties. It survives the actor, and blames nobody beyond the (address, origin).
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messages::facts::{Quarantine, Restrictions, TrustKey};
use messages::write_behind::{PenaltyRecord, WrittenBehind};
use settings::ValidationSettings;
use tokio::sync::watch;
use units::{Timestamp, Work};

use crate::metrics::ValidationMetrics;
use crate::stake::higher_price;

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
    /// What of its uncredited work is still to be voided.
    void: Option<OwedVoid>,
}

/// What a pair loses: its provisional work, and some of its verified work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwedVoid {
    /// Work that was received up to then.
    pub(crate) before: Timestamp,
    pub(crate) price: VoidPrice,
}

/// How much verified work a false share costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VoidPrice {
    /// So much that was still to be paid; `None` for all there is.
    pub(crate) work: Option<Work>,
    /// When that was: the false share was received.
    pub(crate) at: Timestamp,
}

impl VoidPrice {
    /// Everything. The database stores that a void is owed and not how much, so this is what it is after a restart.
    pub(crate) fn all(at: Timestamp) -> VoidPrice {
        VoidPrice { work: None, at }
    }

    fn with(self, other: VoidPrice) -> VoidPrice {
        VoidPrice { work: higher_price(self.work, other.work), at: self.at.max(other.at) }
    }
}

impl Penalty {
    /// When its strikes are forgiven.
    fn ends(&self, settings: &ValidationSettings) -> Timestamp {
        let counted = self.quarantined_until.unwrap_or(self.struck_at).max(self.struck_at);
        counted.plus(settings.strike_window).max(self.forced_until)
    }
}

/// What a false share means for its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StrikeOutcome {
    /// It was sent before the last strike and is part of it: its sender had not been told, and its work is void already.
    InFlight,
    /// Every share is proven before it is acknowledged.
    Forced,
    /// Every share is refused.
    Quarantined,
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

    /// Notes a false share and what it costs.
    pub(crate) fn strike(&self, pair: &TrustKey, now: Timestamp, price: VoidPrice) -> StrikeOutcome {
        let settings = &self.settings;
        let mut kept = self.kept();
        if let Some(penalty) = kept.penalties.get_mut(pair).filter(|penalty| price.at < penalty.struck_at) {
            if let Some(void) = &mut penalty.void {
                void.price = void.price.with(price);
            }
            return StrikeOutcome::InFlight;
        }
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
        let owed = before.and_then(|penalty| penalty.void);
        let penalty = Penalty {
            strikes,
            struck_at: now,
            forced_until: now.plus(settings.forced_verify_duration),
            quarantined_until: sentence.max(before.and_then(|penalty| penalty.quarantined_until)),
            void: Some(OwedVoid { before: now, price: owed.map_or(price, |owed| owed.price.with(price)) }),
        };
        kept.penalties.insert(pair.clone(), penalty);
        kept.dirty.insert(pair.clone());
        self.publish(&mut kept, now);
        if sentence.is_some() { StrikeOutcome::Quarantined } else { StrikeOutcome::Forced }
    }

    /// When this pair's last false share was found, as long as that counts.
    pub(crate) fn struck_at(&self, pair: &TrustKey) -> Option<Timestamp> {
        self.kept().penalties.get(pair).map(|penalty| penalty.struck_at)
    }

    /// A pair whose uncredited work is still to be voided, and how much of it.
    pub(crate) fn to_void(&self) -> Option<(TrustKey, OwedVoid)> {
        let kept = self.kept();
        kept.penalties.iter().find_map(|(pair, penalty)| Some((pair.clone(), penalty.void?)))
    }

    /// That is done, unless there was another strike meanwhile.
    pub(crate) fn voided(&self, pair: &TrustKey, before: Timestamp) {
        let mut kept = self.kept();
        let Some(penalty) = kept.penalties.get_mut(pair) else { return };
        if penalty.void.is_some_and(|void| void.before == before) {
            penalty.void = None;
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
                void_before: penalty.void.map(|void| void.before),
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
        let held = std::mem::take(penalties);
        for record in stored.into_iter().take(PENALTIES_MAX) {
            let owed = held.get(&record.pair).and_then(|penalty| penalty.void);
            let void = record.void_before.map(|before| {
                let all = OwedVoid { before, price: VoidPrice::all(before) };
                owed.filter(|owed| owed.before == before).unwrap_or(all)
            });
            let penalty = Penalty {
                strikes: record.strikes,
                struck_at: record.struck_at,
                forced_until: record.forced_until,
                quarantined_until: record.quarantined_until,
                void,
            };
            penalties.insert(record.pair, penalty);
        }
        penalties.extend(held.into_iter().filter(|(pair, _)| dirty.contains(pair)));
        self.publish(&mut kept, now);
    }

    fn oldest(&self, now: Timestamp) -> Timestamp {
        now
    }
}

#[cfg(test)]
mod tests;
