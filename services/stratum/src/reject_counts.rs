//! Refused submits, counted by line, reason and minute: no row per reject.
use std::collections::HashMap;
use std::sync::Arc;

use messages::facts::WorkerIdentity;
use messages::share_ledger::Event;
use units::Minute;
use wire::RejectCode;

/// Counts that wait to be logged. As many as there are lines and reasons in a few seconds at most: beyond this the
/// rest is in the process's metrics only.
const KEPT_MAX: usize = 16_384;

#[derive(Default)]
pub(crate) struct RejectCounts {
    counts: HashMap<(u64, RejectCode, Minute), (Arc<WorkerIdentity>, u32)>,
}

impl RejectCounts {
    /// False when it found no place.
    pub(crate) fn count(&mut self, line: &Arc<WorkerIdentity>, code: RejectCode, minute: Minute) -> bool {
        let key = (line.local_id, code, minute);
        let has_place = self.counts.len() < KEPT_MAX || self.counts.contains_key(&key);
        if has_place {
            self.counts.entry(key).or_insert_with(|| (Arc::clone(line), 0)).1 += 1;
        }
        has_place
    }

    /// Everything counted so far, as events of the log.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        let event = |((_, code, minute), (line, count)): ((u64, RejectCode, Minute), (Arc<WorkerIdentity>, u32))| {
            Event::Rejects { line, reason: code.as_str(), minute, count }
        };
        self.counts.drain().map(event).collect()
    }

    /// Takes back what was not logged. Returns how many refusals find no place any more.
    pub(crate) fn put_back(&mut self, events: Vec<Event>) -> u64 {
        let mut without_place = 0;
        for event in events {
            if let Event::Rejects { line, reason, minute, count } = event {
                let key = (line.local_id, RejectCode::of_text(reason), minute);
                if self.counts.len() < KEPT_MAX || self.counts.contains_key(&key) {
                    self.counts.entry(key).or_insert_with(|| (line, 0)).1 += count;
                } else {
                    without_place += u64::from(count);
                }
            }
        }
        without_place
    }

    /// How many refusals these are.
    pub(crate) fn sum(events: &[Event]) -> u64 {
        let count = |event: &Event| if let Event::Rejects { count, .. } = event { u64::from(*count) } else { 0 };
        events.iter().map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use messages::facts::Origin;

    use super::*;

    fn line(local_id: u64) -> Arc<WorkerIdentity> {
        let (address, worker) = ("a".into(), "w".into());
        Arc::new(WorkerIdentity { local_id, address, worker, origin: Origin([0; 16]), defined_in: 0.into() })
    }

    #[test]
    fn what_comes_back_is_added_to_what_was_counted_meanwhile() {
        let (mut rejects, line) = (RejectCounts::default(), line(1));
        for _ in 0..3 {
            assert!(rejects.count(&line, RejectCode::Duplicate, Minute(7)));
        }
        let events = rejects.take();
        assert_eq!(RejectCounts::sum(&events), 3);
        assert!(rejects.count(&line, RejectCode::Duplicate, Minute(7)));
        assert_eq!(rejects.put_back(events), 0);
        assert_eq!(RejectCounts::sum(&rejects.take()), 4);
    }

    #[test]
    fn what_finds_no_place_any_more_is_said() {
        let mut rejects = RejectCounts::default();
        rejects.count(&line(0), RejectCode::Duplicate, Minute(7));
        let events = rejects.take();
        for id in 1..=KEPT_MAX {
            assert!(rejects.count(&line(id as u64), RejectCode::Duplicate, Minute(7)));
        }
        assert!(!rejects.count(&line(0), RejectCode::Duplicate, Minute(7)));
        assert_eq!(rejects.put_back(events), 1);
    }
}
