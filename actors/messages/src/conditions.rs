//! What is wrong with this host now, by name: `/readyz` lists it, a metric counts it, the log says when it began and
//! when it ended.
//!
//! Whoever notices a fault sets its condition and, as soon as what was missing moves again, clears it. This board
//! decides nothing; it has one place for each kind, so it cannot grow.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};
use units::Timestamp;

use crate::facts::Clock;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $effect:ident;)*) => {
        /// What can be wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConditionKind { $($(#[doc = $doc])+ $name),* }

        impl ConditionKind {
            /// All there are.
            pub const ALL: &'static [ConditionKind] = &[$(ConditionKind::$name),*];

            /// Its name in `/readyz`, metrics and logs.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(ConditionKind::$name => $code),* }
            }

            /// What it does to the pool.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self { $(ConditionKind::$name => Effect::$effect),* }
            }
        }
    };
}

kinds! {
    /// Payouts are not sent although some may be due.
    PayoutsHeld = "payouts_held", Stops;
    /// The process's log has no reader that reads, or the system refuses its lines.
    LogStalled = "log_stalled", Degrades;
    /// The clock leapt ahead, and shares are booked by the time before that until it has stayed there for a while.
    ClockLeapt = "clock_leapt", Degrades;
    /// The database gives no figures: it is away, hangs, or refuses to be read.
    DatabaseUnreadable = "database_unreadable", Stops;
    /// The database has taken no write of the money lease for a while: it is read-only, locked, or away.
    DatabaseUnwritable = "database_unwritable", Stops;
    /// Shares are in the log and no commit has brought them into the database for a while.
    BookingStalled = "booking_stalled", Stops;
    /// The share log's disk refuses: it is full, read-only, or fails.
    ShareLogUnwritable = "share_log_unwritable", Stops;
    /// The share log's disk does not answer at all.
    ShareLogStalled = "share_log_stalled", Stops;
    /// The share log is not written to the database.
    FoldStopped = "fold_stopped", Stops;
    /// Records of the share log wait beside the tables, since the database refuses them.
    RecordsSetAside = "records_set_aside", Degrades;
    /// Blocks at credit depth wait for a host that has not folded its share log past their find.
    HostsAwaited = "hosts_awaited", Stops;
    /// A host that is not closed has been silent: blocks that are found wait for it.
    HostSilent = "host_silent", Degrades;
    /// The database and the share log lack the same records.
    LogGap = "log_gap", Stops;
    /// The share log is an older copy of what the database has folded, and goes on under another name.
    LogRestored = "log_restored", Degrades;
    /// Nothing is sent because an operator wants it so.
    PayoutsPaused = "payouts_paused", Degrades;
    /// A single payout cannot be decided by the pool; others go on.
    PayoutAttention = "payout_attention", Degrades;
    /// The process has only some of the pool's roles, and does not reach the others yet.
    RolesAbsent = "roles_absent", Stops;
}

/// What a condition does to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Mining, booking or sending stands: the host is not ready.
    Stops,
    /// Something is weakened and has a replacement.
    Degrades,
}

/// One thing that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which.
    pub kind: ConditionKind,
    /// For everybody: a sentence without host names, files and sums.
    pub text: String,
    /// For operators: the same with them, and what to do.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// The board; see the module's documentation.
pub struct Conditions {
    clock: Clock,
    current: Mutex<BTreeMap<ConditionKind, Condition>>,
}

impl Conditions {
    /// An empty board.
    #[must_use]
    pub fn new(clock: Clock) -> Conditions {
        Conditions { clock, current: Mutex::default() }
    }

    /// This is so now. Said in the log when it begins and when `text` changes, not when only `detail` does.
    pub fn set(&self, kind: ConditionKind, text: &str, detail: &str) {
        let now = (self.clock)();
        let mut current = self.lock();
        let since = match current.get(&kind) {
            Some(before) if before.text == text && before.detail == detail => return,
            before => before.map_or(now, |before| before.since),
        };
        let condition = Condition { kind, text: text.to_owned(), detail: detail.to_owned(), since };
        let before = current.insert(kind, condition);
        drop(current);
        if before.is_none_or(|before| before.text != text) {
            warn!(condition = kind.code(), detail, "{text}");
        }
    }

    /// It is not so any more.
    pub fn clear(&self, kind: ConditionKind) {
        let Some(before) = self.lock().remove(&kind) else { return };
        let seconds = (self.clock)().since(before.since).as_secs();
        info!(condition = kind.code(), seconds, "condition ended: {}", before.text);
    }

    /// [`Conditions::set`] with text and detail, or [`Conditions::clear`].
    pub fn put(&self, kind: ConditionKind, state: Option<(String, String)>) {
        match state {
            Some((text, detail)) => self.set(kind, &text, &detail),
            None => self.clear(kind),
        }
    }

    /// All that is wrong now.
    #[must_use]
    pub fn list(&self) -> Vec<Condition> {
        self.lock().values().cloned().collect()
    }

    /// Whether this is so now.
    #[must_use]
    pub fn has(&self, kind: ConditionKind) -> bool {
        self.lock().contains_key(&kind)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConditionKind, Condition>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with what led to it, each said once.
#[must_use]
pub fn described(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[test]
    fn a_condition_keeps_its_begin_while_its_sentence_changes() {
        let now = Arc::new(AtomicI64::new(1_000));
        let time = Arc::clone(&now);
        let board = Conditions::new(Arc::new(move || Timestamp::from_ms(time.load(Ordering::Relaxed))));
        board.set(ConditionKind::PayoutsHeld, "payouts are paused", "payouts are paused: /x exists");
        now.store(5_000, Ordering::Relaxed);
        board.set(ConditionKind::PayoutsHeld, "the wallet holds too little", "it holds 1, 2 are owed");
        let all = board.list();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].since, Timestamp::from_ms(1_000));
        assert_eq!(all[0].text, "the wallet holds too little");
        board.clear(ConditionKind::PayoutsHeld);
        assert!(board.list().is_empty() && !board.has(ConditionKind::PayoutsHeld));
        board.put(ConditionKind::PayoutsHeld, Some(("a".into(), "b".into())));
        assert_eq!(board.list()[0].since, Timestamp::from_ms(5_000));
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let mut codes: Vec<_> = ConditionKind::ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ConditionKind::ALL.len());
    }
}
