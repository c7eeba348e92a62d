//! `Retention`: merges and sums up old details, and removes them.
//!
//! A clean-up begins every so often and is worked off in short turns between which everybody else has the database
//! to themselves; each turn is a few short transactions. Only the holder of the money lease cleans up, under its
//! epoch. What may go is decided in `cuts`; why nothing is lost is said in [`store::retention`].
//!
//! It refuses to hurry: what is not done in one turn waits for the next, over restarts too.
#![warn(missing_docs)]
mod cuts;
mod metrics;
mod run;

pub use metrics::RetentionMetrics;

use std::sync::Arc;
use std::time::Duration;

use messages::facts::{Clock, LeaseEpoch};
use messages::retention::RetentionTick;
use runtime::{Actor, Fault, Handler, Reply};
use settings::RetentionSettings;
use store::{Store, StoreError};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::cuts::Cuts;
use crate::run::CleanUpRun;

/// How often the actor should hear [`RetentionTick`].
pub const TURN_EVERY: Duration = Duration::from_secs(5);
/// No new step is begun after so much of a turn.
const TURN: Duration = Duration::from_millis(500);
/// A clean-up looks at everything; more often is of no use.
const INTERVAL_MIN: Duration = Duration::from_secs(5 * 60);

/// What the actor is built from. Cloned for every generation.
#[derive(Clone)]
pub struct RetentionParts {
    /// `[retention]`.
    pub settings: RetentionSettings,
    /// The payout window of the policy in force.
    pub window: Duration,
    /// The database.
    pub store: Store,
    /// Only its holder cleans up.
    pub lease: LeaseEpoch,
    /// The wall clock.
    pub clock: Clock,
    /// What it counts.
    pub metrics: Arc<RetentionMetrics>,
}

/// The actor.
pub struct Retention {
    parts: RetentionParts,
    run: Option<CleanUpRun>,
    /// When the next clean-up begins; at once after a start.
    due: Option<Instant>,
    is_failing: bool,
}

impl Retention {
    /// A factory for the supervisor.
    pub fn factory(parts: RetentionParts) -> impl Fn() -> Retention {
        move || Retention { parts: parts.clone(), run: None, due: None, is_failing: false }
    }

    /// Works until the turn is over or nothing is left to do.
    async fn tick(&mut self) -> Result<(), StoreError> {
        let end = Instant::now() + TURN;
        while Instant::now() < end {
            // Looked at before every step: a lease may go at any time.
            let Some(epoch) = *self.parts.lease.borrow() else { return Ok(()) };
            let Some(run) = &mut self.run else {
                if self.due.is_some_and(|due| Instant::now() < due) {
                    return Ok(());
                }
                self.run = Some(self.begin().await?);
                continue;
            };
            run.step(&self.parts.store, &self.parts.metrics, epoch).await?;
            if run.is_done() {
                self.finish();
            }
        }
        Ok(())
    }

    async fn begin(&self) -> Result<CleanUpRun, StoreError> {
        let facts = self.parts.store.retention_facts().await?;
        let now = (self.parts.clock)();
        let cuts = Cuts::of(&facts, &self.parts.settings, self.parts.window, now);
        let metrics = &self.parts.metrics;
        metrics.retention_held_seconds.set(cuts.held.as_secs());
        let oldest = facts.oldest_batch.map_or(0, |oldest| now.since(oldest).as_secs());
        metrics.retention_oldest_batch_seconds.set(oldest);
        debug!(?cuts, "clean-up begins");
        Ok(CleanUpRun::new(cuts))
    }

    fn finish(&mut self) {
        self.run = None;
        self.due = Some(Instant::now() + self.parts.settings.interval.max(INTERVAL_MIN));
        let metrics = &self.parts.metrics;
        metrics.retention_runs_total.add(1);
        let now = u64::try_from((self.parts.clock)().ms()).unwrap_or(0) / 1_000;
        metrics.retention_last_run_timestamp_seconds.set(now);
        debug!("clean-up is finished");
    }
}

impl Actor for Retention {
    const NAME: &'static str = "retention";
}

impl Handler<RetentionTick> for Retention {
    async fn handle(&mut self, _: RetentionTick, reply: Reply<RetentionTick>) -> Result<(), Fault> {
        match self.tick().await {
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                info!("retention run succeeded again");
            }
            Ok(()) => {}
            Err(error) => {
                // What is needed may be something else by then.
                self.run = None;
                if !self.is_failing {
                    warn!(%error, "retention run failed, will retry");
                }
                self.is_failing = true;
            }
        }
        reply.send(());
        Ok(())
    }
}
