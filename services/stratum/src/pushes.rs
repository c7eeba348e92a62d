//! What pushing jobs costs, and how long a new tip takes to the last miner.
//!
//! A push throws away the hashes in progress. The pool does not see them, so the loss is estimated in mining time of
//! the session: a push in the middle of steady work costs each lane half a hash on average, and never more than the
//! job had lasted. With a hash of [`HASH_TIME`] that is `min(age of the job, HASH_TIME / 2)`. The share of work lost
//! is the loss over the sessions' time: `stratum_lost_to_tips_ms / stratum_mining_ms`, and the same for retargets.
//! Slower lanes lose proportionally more.
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::facts::{CurrentJob, Template, WorkerIdentity};

use crate::assignment::Assignment;
use crate::metrics::StratumMetrics;

/// What a lane of a miner takes for one 2 GiB hash; one to three seconds in practice.
const HASH_TIME: Duration = Duration::from_secs(2);

/// All sessions of this thread have the new job.
pub(crate) fn done(metrics: &StratumMetrics, job: &CurrentJob) {
    metrics.stratum_tip_to_last_job_seconds.record(job.known_at.elapsed());
}

/// Counts what a session loses when a job for `line` on `next` takes the place of `current`. Who logs in again
/// interrupts itself.
pub(crate) fn interrupt(
    metrics: &StratumMetrics,
    current: &Assignment,
    line: &Arc<WorkerIdentity>,
    next: &Template,
    now: Instant,
) {
    if !Arc::ptr_eq(&current.line, line) {
        return;
    }
    let lost = lost(now.saturating_duration_since(current.given_at()));
    let counter = if current.template.identity() == next.identity() {
        &metrics.stratum_lost_to_retargets_ms_total
    } else {
        &metrics.stratum_lost_to_tips_ms_total
    };
    counter.add(u64::try_from(lost.as_millis()).unwrap_or(u64::MAX));
}

fn lost(age: Duration) -> Duration {
    age.min(HASH_TIME / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_costs_half_a_hash_and_never_more_than_the_job_had_lasted() {
        let millis = Duration::from_millis;
        assert_eq!([300, 1_000, 90_000].map(|age| lost(millis(age))), [300, 1_000, 1_000].map(millis));
    }
}
