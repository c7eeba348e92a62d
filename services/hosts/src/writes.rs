//! Whether what must be written is written: judged on a timer by when the work itself last wrote.
//!
//! A database that can be read may take no write (a standby after a failover, a file that another program has locked),
//! and a disk may hang. Neither shows in a read, and a write made for the question would prove its own success only. So
//! this looks at what the fold, the money lease and the share log's disk have last done, and asks nobody.
use std::sync::Arc;
use std::time::{Duration, Instant};

use instruments::Counter;
use messages::conditions::{ConditionKind, Conditions};
use messages::facts::LogPosition;
use runtime::Task;
use tokio::sync::watch;

use crate::lease::Renewals;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);
/// Standing still for longer is a fault. More than any of them takes between two writes, and told within ten seconds.
const STILL_MAX: Duration = Duration::from_secs(8);

/// What it remembers from look to look.
pub(crate) struct Writes {
    conditions: Arc<Conditions>,
    folded: UnchangedSince,
    disk: UnchangedSince,
}

/// A number that should change, and since when it has not.
struct UnchangedSince {
    value: u64,
    since: Instant,
}

/// What the work has done so far.
struct WorkProgress {
    /// Empty until the log is open.
    position: Option<LogPosition>,
    disk_answers: u64,
    /// Of the lease's renewal: how long ago, and why the last try failed.
    renewed: (Duration, Option<String>),
}

impl Writes {
    /// Looks until the task is dropped.
    pub(crate) fn watch(
        conditions: &Arc<Conditions>,
        disk_answers: Counter,
        position: watch::Receiver<Option<LogPosition>>,
        renewals: Arc<Renewals>,
    ) -> Task {
        let mut writes = Writes::new(conditions, Instant::now());
        runtime::spawn(async move {
            loop {
                let seen = WorkProgress {
                    position: *position.borrow(),
                    disk_answers: disk_answers.get(),
                    renewed: renewals.age(),
                };
                writes.look(&seen, Instant::now());
                tokio::time::sleep(EVERY).await;
            }
        })
    }

    fn new(conditions: &Arc<Conditions>, now: Instant) -> Writes {
        let still = || UnchangedSince { value: 0, since: now };
        Writes { conditions: Arc::clone(conditions), folded: still(), disk: still() }
    }

    fn look(&mut self, seen: &WorkProgress, now: Instant) {
        let (booking, disk) = (self.booking(seen, now), self.disk(seen, now));
        self.conditions.put(ConditionKind::BookingStalled, booking);
        self.conditions.put(ConditionKind::ShareLogStalled, disk);
        self.conditions.put(ConditionKind::DatabaseUnwritable, lease(&seen.renewed));
    }

    /// Only while something waits: without shares there is nothing to book.
    fn booking(&mut self, seen: &WorkProgress, now: Instant) -> Option<(String, String)> {
        let LogPosition { durable, folded } = seen.position.unwrap_or_default();
        let still = self.folded.for_how_long(folded, durable > folded, now);
        (still > STILL_MAX).then(|| {
            let text = "shares wait to be booked, and none was booked for a while".to_owned();
            let detail = format!(
                "the share log is on disk up to position {durable} and in the database up to {folded}, which does not \
                 move; miners are served, the backlog grows. The log says what the database refuses."
            );
            (text, detail)
        })
    }

    /// The disk's thread tries it every few seconds. Before the log is open there is nobody to answer.
    fn disk(&mut self, seen: &WorkProgress, now: Instant) -> Option<(String, String)> {
        let still = self.disk.for_how_long(seen.disk_answers, seen.position.is_some(), now);
        (still > STILL_MAX).then(|| {
            let text = "share log's disk does not answer".to_owned();
            let detail =
                "a write or a sync of the share log has not returned; shares are answered `server busy, retry`";
            (text, detail.to_owned())
        })
    }
}

/// The lease is renewed by whoever holds it, and looked at by the others; either writes.
fn lease((age, why): &(Duration, Option<String>)) -> Option<(String, String)> {
    (*age > STILL_MAX).then(|| {
        let text = "database takes no writes: nothing is booked, credited or paid".to_owned();
        let why = why.as_deref().unwrap_or("no answer yet");
        // Without the seconds: a detail that changes is no news.
        let detail = format!(
            "the money lease renewal failed: {why}. Is the database read-only (a standby?), full, or locked by \
             another program?"
        );
        (text, detail)
    })
}

impl UnchangedSince {
    /// How long the value has been the same while it `should_move`.
    fn for_how_long(&mut self, value: u64, should_move: bool, now: Instant) -> Duration {
        if value != self.value || !should_move {
            (self.value, self.since) = (value, now);
        }
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use units::Timestamp;

    use super::*;

    struct Run {
        writes: Writes,
        conditions: Arc<Conditions>,
        began: Instant,
    }

    impl Run {
        fn new() -> Run {
            let conditions = Arc::new(Conditions::new(Arc::new(|| Timestamp::from_ms(0))));
            let began = Instant::now();
            Run { writes: Writes::new(&conditions, began), conditions, began }
        }

        /// What is wrong after so many seconds.
        fn at(&mut self, secs: u64, durable: u64, folded: u64, answers: u64, age: u64) -> Vec<ConditionKind> {
            let seen = WorkProgress {
                position: Some(LogPosition { durable, folded }),
                disk_answers: answers,
                renewed: (Duration::from_secs(age), None),
            };
            self.writes.look(&seen, self.began + Duration::from_secs(secs));
            self.conditions.list().into_iter().map(|condition| condition.kind).collect()
        }
    }

    #[test]
    fn shares_that_nothing_brings_into_the_database_are_told_within_ten_seconds() {
        let mut run = Run::new();
        assert_eq!(run.at(0, 5, 5, 1, 0), []);
        assert_eq!(run.at(60, 5, 5, 2, 0), [], "nothing waits");
        assert_eq!(run.at(61, 6, 5, 3, 0), []);
        assert_eq!(run.at(68, 9, 5, 4, 0), []);
        assert_eq!(run.at(71, 10, 5, 5, 0), [ConditionKind::BookingStalled]);
        assert_eq!(run.at(72, 11, 6, 6, 0), [], "it moves, however far it is behind");
    }

    #[test]
    fn a_disk_that_does_not_answer_and_a_lease_that_nobody_renews_are_told() {
        let mut run = Run::new();
        assert_eq!(run.at(0, 0, 0, 1, 4), []);
        assert_eq!(run.at(8, 0, 0, 1, 8), []);
        assert_eq!(run.at(10, 0, 0, 1, 10), [ConditionKind::DatabaseUnwritable, ConditionKind::ShareLogStalled]);
        assert_eq!(run.at(11, 0, 0, 2, 0), []);
    }

    #[test]
    fn before_the_log_is_open_nothing_is_expected_of_it() {
        let mut run = Run::new();
        let seen = WorkProgress { position: None, disk_answers: 0, renewed: (Duration::ZERO, None) };
        run.writes.look(&seen, run.began + Duration::from_secs(300));
        assert!(run.conditions.list().is_empty());
    }
}
