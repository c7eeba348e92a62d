//! Why nothing is sent, as it is told: conditions for `/readyz` and the log, and a row in the database for
//! `meshpool payouts` of another process.
//!
//! What passes by itself (a wallet that reads the newest block, change that must mature) is told only when it lasts.
use std::collections::HashMap;
use std::time::Duration;

use store::payouts::Hold;
use tokio::time::Instant;
use units::{Height, Timestamp};

use crate::hold_reason::{HoldDelay, HoldKind, HoldReason};

#[derive(Debug, Clone, Copy)]
struct Begin {
    /// By a clock that never jumps.
    seen: Instant,
    at: Timestamp,
    height: Height,
}

/// What stands in the way now, by who found it.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// An operator wants nothing to be sent.
    pub(crate) wanted: Option<HoldReason>,
    /// The daemon or the database does not answer, or the chain cannot be trusted: looked at in every step.
    pub(crate) front: Option<HoldReason>,
    /// The pause file cannot be looked for, or the daemon is catching up: looked at in every step.
    pub(crate) gate: Option<HoldReason>,
    /// The wallet cannot send: looked at every few seconds.
    pub(crate) wallet: Option<HoldReason>,
    /// The wallet has what the books do not have.
    pub(crate) books: Option<HoldReason>,
    /// The wallet holds too little: as of the last tip.
    pub(crate) solvency: Option<HoldReason>,
    /// What ended the last pass.
    pub(crate) run_once: Option<HoldReason>,
    begun: HashMap<HoldKind, Begin>,
    /// Since when something or other stands in the way.
    faulty: Option<Instant>,
    /// When it was last looked at.
    seen: Option<Instant>,
    /// What the database says, and under which epoch that was written.
    pub(crate) stored: Option<(i64, Vec<Hold>)>,
}

impl Standing {
    pub(crate) fn reasons(&self) -> Vec<&HoldReason> {
        let mut reasons: Vec<&HoldReason> = Vec::new();
        for reason in
            [&self.front, &self.gate, &self.wallet, &self.books, &self.solvency, &self.run_once].into_iter().flatten()
        {
            if reasons.iter().all(|other| other.kind != reason.kind) {
                reasons.push(reason);
            }
        }
        reasons
    }

    /// Notes when each began, and forgets those that ended.
    pub(crate) fn note(&mut self, seen: Instant, now: Timestamp, height: Height) {
        self.seen = Some(seen);
        let mut kinds: Vec<HoldKind> = self.reasons().iter().map(|reason| reason.kind).collect();
        kinds.extend(self.wanted.as_ref().map(|reason| reason.kind));
        self.begun.retain(|kind, _| kinds.contains(kind));
        for kind in kinds {
            self.begun.entry(kind).or_insert(Begin { seen, at: now, height });
        }
        let is_faulty = self.reasons().iter().any(|reason| !matches!(reason.kind.delay(), HoldDelay::Blocks(_)));
        self.faulty = is_faulty.then(|| self.faulty.unwrap_or(seen));
    }

    pub(crate) fn is_ripe(&self, reason: &HoldReason, height: Height) -> bool {
        let Some(begun) = self.begun.get(&reason.kind) else { return false };
        match reason.kind.delay() {
            HoldDelay::None => true,
            // Another process had told it already.
            HoldDelay::Seconds(_) if self.told_before(reason.kind).is_some() => true,
            HoldDelay::Seconds(seconds) => {
                // One that takes turns with another one is as bad as one that stays.
                let since = begun.seen.min(self.faulty.unwrap_or(begun.seen));
                self.seen.is_some_and(|seen| seen.duration_since(since) >= Duration::from_secs(seconds))
            }
            HoldDelay::Blocks(blocks) => height.get().saturating_sub(begun.height.get()) >= blocks,
        }
    }

    fn told_before(&self, kind: HoldKind) -> Option<&Hold> {
        self.stored.as_ref().and_then(|(_, holds)| holds.iter().find(|hold| hold.code == kind.code()))
    }

    /// What the database is to say.
    pub(crate) fn holds(&self, height: Height) -> Vec<Hold> {
        let hold = |reason: &HoldReason, is_wanted| {
            let begun = self.begun.get(&reason.kind).map_or(0, |begun| begun.at.ms());
            let since_ms = self.told_before(reason.kind).map_or(begun, |before| before.since_ms);
            Hold { code: reason.kind.code().to_owned(), text: reason.detail.clone(), since_ms, is_wanted }
        };
        let told =
            |reason: &&HoldReason| self.is_ripe(reason, height) || matches!(reason.kind.delay(), HoldDelay::Blocks(_));
        let reasons = self.reasons().into_iter().filter(told).map(|reason| hold(reason, false));
        self.wanted.iter().map(|reason| hold(reason, true)).chain(reasons).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(kind: HoldKind) -> HoldReason {
        HoldReason { kind, detail: format!("detail of {kind:?}") }
    }

    fn codes(holds: &[Hold]) -> Vec<&str> {
        holds.iter().map(|hold| hold.code.as_str()).collect()
    }

    #[test]
    fn what_passes_by_itself_is_told_when_it_lasts() {
        let mut standing = Standing { run_once: Some(reason(HoldKind::Scanning)), ..Standing::default() };
        let (now, height) = (Timestamp::from_ms(7), Height::new(10));
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        standing.note(begin, now, height);
        assert!(standing.holds(height).is_empty());
        // Another one takes its turn: something has been wrong for five seconds all the same.
        standing.run_once = Some(reason(HoldKind::Daemon));
        standing.note(after(3), now, height);
        assert!(standing.holds(height).is_empty());
        standing.note(after(5), now, height);
        assert_eq!(codes(&standing.holds(height)), ["daemon"]);
        standing.run_once = None;
        standing.note(after(6), now, height);
        assert!(standing.holds(height).is_empty());
        standing.run_once = Some(reason(HoldKind::Scanning));
        standing.note(after(7), now, height);
        assert!(standing.holds(height).is_empty(), "from the beginning");
    }

    #[test]
    fn a_new_holder_goes_on_where_the_one_before_it_was() {
        let hold = |code: &str, since_ms| Hold { code: code.to_owned(), text: "x".into(), since_ms, is_wanted: false };
        let mut standing = Standing {
            solvency: Some(reason(HoldKind::Insolvent)),
            stored: Some((2, vec![hold("insolvent", 3), hold("scanning", 4)])),
            ..Standing::default()
        };
        let height = Height::new(10);
        standing.note(Instant::now(), Timestamp::from_ms(900), height);
        let holds = standing.holds(height);
        assert_eq!((codes(&holds), holds[0].since_ms), (vec!["insolvent"], 3));
    }

    #[test]
    fn change_that_matures_is_stored_at_once_and_a_fault_after_twelve_blocks() {
        let short = reason(HoldKind::Short);
        let mut standing = Standing { run_once: Some(short.clone()), ..Standing::default() };
        standing.note(Instant::now(), Timestamp::from_ms(7), Height::new(10));
        assert_eq!(codes(&standing.holds(Height::new(10))), ["short"]);
        assert!(!standing.is_ripe(&short, Height::new(21)));
        assert!(standing.is_ripe(&short, Height::new(22)));
    }
}
