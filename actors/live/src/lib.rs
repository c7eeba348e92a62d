//! `Live`: the host's runtime snapshot, taken every few seconds and read by everybody who shows something.
//!
//! What costs a query is asked once here, not once per reader. A database that does not answer leaves the figures of
//! the last time standing, with their age.
#![warn(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use instruments::Gauge;
use messages::conditions::{ConditionKind, Conditions, described};
use messages::facts::Clock;
use messages::live::SampleLive;
use runtime::{Actor, Fault, Handler, Reply};
use serde::Serialize;
use store::blocks::Block;
use store::reads::{BlockPage, PayoutRow, PoolTotals};
use store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;
use units::{Minute, Timestamp, Work};

/// Hashrates are measured over the last hour, or over what there is of it.
const HASHRATE_WINDOW: Duration = Duration::from_secs(3600);
/// ... but never over less than this: a first share must not look like a farm.
const HASHRATE_SPAN_MIN: Duration = Duration::from_secs(60);
/// How long the database may take for all figures before it counts as one that does not answer.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// How long the snapshot may take to be stored; the next one replaces it anyway.
const WRITE_PATIENCE: Duration = Duration::from_secs(1);

/// Newest blocks and payouts that are kept at hand: the longest page that anybody may ask for.
pub const RECENT: u64 = 200;

/// The newest rows of a list, and how many there are in all.
#[derive(Debug, Clone)]
pub struct Recent<T> {
    /// Newest first, at most [`RECENT`].
    pub rows: Arc<[T]>,
    /// All that there are.
    pub total: u64,
}

/// What the host knows of itself and of the pool.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// When the figures of the process were taken.
    pub sampled_at: Timestamp,
    /// When those of the database were; empty before the first time.
    pub stored_at: Option<Timestamp>,
    /// Stratum sessions that are logged in.
    pub sessions: u64,
    /// Accepted work per second, see [`hashrate`]: the sum of all miners' figures.
    pub hashrate: f64,
    /// When the running round began.
    pub round_started_at: Option<Timestamp>,
    /// Work of the running round.
    pub round_work: Work,
    /// Sums over the whole history.
    #[serde(skip)]
    pub totals: PoolTotals,
    /// Miners and workers with accepted work in the last ten minutes.
    pub miners: u64,
    /// See `miners`.
    pub workers: u64,
    /// Seconds between two blocks of the network, as seen lately.
    pub block_seconds: Option<f64>,
    /// Blocks found.
    #[serde(skip)]
    pub blocks: Recent<Block>,
    /// Payouts.
    #[serde(skip)]
    pub payouts: Recent<PayoutRow>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { rows: Arc::default(), total: 0 }
    }
}

impl<T> From<(Vec<T>, u64)> for Recent<T> {
    fn from((rows, total): (Vec<T>, u64)) -> Self {
        Recent { rows: rows.into(), total }
    }
}

/// What the actor is built from. Cloned for every generation.
#[derive(Clone)]
pub struct LiveParts {
    /// Name under which the snapshot is stored.
    pub host: String,
    /// The database.
    pub store: Store,
    /// Stratum sessions that are logged in, as the front counts them.
    pub sessions: Gauge,
    /// By which time shares are booked.
    pub booking_clock: BookingClock,
    /// Where it is said that the database does not answer.
    pub conditions: Arc<Conditions>,
    /// Where it is published.
    pub published: watch::Sender<Arc<Snapshot>>,
    /// The wall clock.
    pub clock: Clock,
}

/// The actor.
pub struct Live {
    parts: LiveParts,
}

impl Live {
    /// A factory for the supervisor.
    pub fn factory(parts: LiveParts) -> impl Fn() -> Live {
        move || Live { parts: parts.clone() }
    }

    async fn read(&self, snapshot: &mut Snapshot) -> Result<(), StoreError> {
        let (store, now) = (&self.parts.store, snapshot.sampled_at);
        let booked_now = self.parts.booking_clock.now(now);
        snapshot.hashrate = hashrate(store.work_since(hashrate_since(booked_now)).await?, booked_now);
        let round = store.round().await?;
        (snapshot.round_started_at, snapshot.round_work) = (round.started_at, round.work);
        let active_since = booked_now.minus(Duration::from_secs(600)).minute();
        (snapshot.miners, snapshot.workers) = store.active_count(active_since).await?;
        snapshot.block_seconds = store.block_pace().await?.map(|pace| pace.as_secs_f64());
        snapshot.totals = store.pool_totals().await?;
        snapshot.blocks = store.block_list(BlockPage { limit: RECENT, ..BlockPage::default() }).await?.into();
        snapshot.payouts = store.payout_list(0, RECENT).await?.into();
        snapshot.stored_at = Some(now);
        Ok(())
    }

    /// Other hosts read it. That it cannot be stored says nothing about the figures, and who must write tells it.
    async fn store(&self, snapshot: &Snapshot) {
        let body = serde_json::to_string(snapshot).unwrap_or_default();
        let put = self.parts.store.snapshot_put(&self.parts.host, &body, snapshot.sampled_at);
        match timeout(WRITE_PATIENCE, put).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "snapshot not stored"),
            Err(_late) => debug!("snapshot not stored in time"),
        }
    }
}

/// The minute from which on work counts for [`hashrate`].
#[must_use]
pub fn hashrate_since(now: Timestamp) -> Minute {
    now.minus(HASHRATE_WINDOW).minute()
}

/// Work per second of one worker or of many, which is the sum of theirs. Each worker's counts from the minute of its
/// first share in the window on: one that has just come, or come back, is seen at once, and one that has left fades
/// until the window has passed it.
///
/// The only place where a hashrate is computed: API, page and snapshots show this one.
#[must_use]
pub fn hashrate(workers: impl IntoIterator<Item = (Minute, Work)>, now: Timestamp) -> f64 {
    let rate = |(first, work): (Minute, Work)| {
        let span = now.since(first.start()).clamp(HASHRATE_SPAN_MIN, HASHRATE_WINDOW);
        // A display figure: money never reads it.
        work.get() as f64 / span.as_secs_f64()
    };
    workers.into_iter().map(rate).sum()
}

/// The time that shares are booked to, in the share ledger's measure: ahead of a clock that was set back, behind one that
/// leapt ahead and may be wrong.
#[derive(Debug, Clone, Default)]
pub struct BookingClock {
    /// Minutes that shares are booked ahead of the clock; 0 as a rule.
    pub minutes_ahead: Gauge,
    /// Minutes that shares are booked behind the clock; 0 as a rule.
    pub minutes_behind: Gauge,
}

impl BookingClock {
    /// The time that shares are booked to when the clock shows `now`. What was booked lately is looked for by this time.
    #[must_use]
    pub fn now(&self, now: Timestamp) -> Timestamp {
        let minutes =
            |gauge: &Gauge| Duration::from_secs(60).saturating_mul(u32::try_from(gauge.get()).unwrap_or(u32::MAX));
        now.plus(minutes(&self.minutes_ahead)).minus(minutes(&self.minutes_behind))
    }
}

impl Actor for Live {
    const NAME: &'static str = "live";
}

impl Handler<SampleLive> for Live {
    async fn handle(&mut self, _: SampleLive, reply: Reply<SampleLive>) -> Result<(), Fault> {
        let mut snapshot = Snapshot::clone(&self.parts.published.borrow());
        snapshot.sampled_at = (self.parts.clock)();
        snapshot.sessions = self.parts.sessions.get();
        let trouble = match timeout(READ_PATIENCE, self.read(&mut snapshot)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(described(&error)),
            Err(_late) => Some(format!("no answer within {} s", READ_PATIENCE.as_secs())),
        };
        let state =
            trouble.map(|why| ("database does not answer".to_owned(), format!("database gives no figures: {why}")));
        let is_read = state.is_none();
        self.parts.conditions.put(ConditionKind::DatabaseUnreadable, state);
        let snapshot = Arc::new(snapshot);
        self.parts.published.send_replace(Arc::clone(&snapshot));
        if is_read {
            self.store(&snapshot).await;
        }
        reply.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Minute(200).start()
    }

    fn work(work: u64) -> Work {
        Work::new(work).unwrap()
    }

    #[test]
    fn what_was_booked_lately_is_looked_for_by_the_time_that_it_is_booked_by() {
        let clock = BookingClock::default();
        let now = Timestamp::from_ms(100_000_000);
        assert_eq!(clock.now(now), now);
        clock.minutes_behind.set(60);
        assert_eq!(clock.now(now), now.minus(HASHRATE_WINDOW));
        clock.minutes_behind.set(0);
        clock.minutes_ahead.set(60);
        assert_eq!(clock.now(now), now.plus(HASHRATE_WINDOW));
    }

    #[test]
    fn a_hashrate_is_measured_over_at_least_a_minute_and_at_most_an_hour() {
        let rate = |minutes: u32| hashrate([(Minute(200 - minutes), work(36_000))], now());
        assert_eq!([rate(0), rate(1), rate(6), rate(120)], [600.0, 600.0, 100.0, 10.0]);
        assert_eq!(hashrate([], now()), 0.0);
        assert_eq!(hashrate_since(now()), Minute(140));
    }

    #[test]
    fn many_workers_have_the_sum_of_their_hashrates() {
        let workers = [(Minute(190), work(6_000)), (Minute(198), work(1_200))];
        assert_eq!(hashrate(workers, now()), 10.0 + 10.0);
    }
}
