//! Refused submits, counted by line, reason and minute: no row per reject.
use std::collections::HashMap;
use std::sync::Arc;

use messages::facts::Line;
use messages::share_ledger::Event;
use units::Minute;
use wire::RejectCode;

/// Counts that wait to be logged. As many as there are lines and reasons in a few seconds at most: beyond this the
/// rest is in the process's counters only.
const KEPT_MAX: usize = 16_384;

#[derive(Default)]
pub(crate) struct Rejects {
    counts: HashMap<(u64, RejectCode, Minute), (Arc<Line>, u32)>,
}

impl Rejects {
    /// False when it found no place.
    pub(crate) fn count(&mut self, line: &Arc<Line>, code: RejectCode, minute: Minute) -> bool {
        let key = (line.local_id, code, minute);
        let has_place = self.counts.len() < KEPT_MAX || self.counts.contains_key(&key);
        if has_place {
            self.counts.entry(key).or_insert_with(|| (Arc::clone(line), 0)).1 += 1;
        }
        has_place
    }

    /// Everything counted so far, as events of the log.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        let event = |((_, code, minute), (line, count)): ((u64, RejectCode, Minute), (Arc<Line>, u32))| {
            Event::Rejects { line, reason: code.as_str(), minute, count }
        };
        self.counts.drain().map(event).collect()
    }

    /// Takes back what could not be logged now.
    pub(crate) fn put_back(&mut self, events: Vec<Event>) {
        for event in events {
            if let Event::Rejects { line, reason, minute, count } = event {
                let code = RejectCode::of_text(reason);
                self.counts.entry((line.local_id, code, minute)).or_insert_with(|| (line, 0)).1 += count;
            }
        }
    }
}
