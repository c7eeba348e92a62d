//! From the log into the database: steps of whole records, each one transaction with the log position in it.
//!
//! Runs on a thread of its own and knows nothing of sessions: a database that is away only makes the
//! backlog grow.
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use chain::Network;
use messages::counters::Counters;
use messages::facts::{Clock, LogPosition};
use store::{Store, StoreError};
use tokio::sync::watch;
use tracing::{Instrument, info, info_span, warn};
use units::{HostId, Minute, PolicyId, Seq, Timestamp};

use crate::disk::Progress;
use crate::files::{LogDirectory, LogError};
use crate::reader::{LogReader, Step};
use crate::step::{Definitions, StepBuilder};
use crate::tidy::tidy;

/// How often the database is told that everything is folded, for the sake of blocks that wait for it.
const CAUGHT_UP_EVERY: Duration = Duration::from_secs(15);

/// Why folding stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    /// The database did not take the step; it will be tried again.
    #[error("database did not take records {from} to {to}")]
    Store {
        /// Position before the step.
        from: Seq,
        /// Position after it.
        to: Seq,
        /// Why.
        source: StoreError,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What the fold needs.
pub(crate) struct Fold {
    pub(crate) directory: LogDirectory,
    pub(crate) store: Store,
    /// Whose addresses the log holds.
    pub(crate) network: Network,
    pub(crate) host: HostId,
    /// For files that say no policy.
    pub(crate) policy: PolicyId,
    pub(crate) window: Duration,
    /// Folded records may take so much of the disk.
    pub(crate) kept_max_bytes: u64,
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) position: watch::Sender<Option<LogPosition>>,
}

/// Where it is.
struct Place {
    reader: LogReader,
    folded: Seq,
    /// The latest that a share was booked to.
    minute: Minute,
    definitions: Definitions,
}

impl Fold {
    /// Folds whatever is durable each time it is woken, and once more when the waker is gone.
    pub(crate) fn run(self, wake: &crossbeam_channel::Receiver<()>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return warn!(%error, "fold thread has no runtime"),
        };
        let mut place = None;
        let mut caught_up_at = Timestamp::from_ms(0);
        let mut said = None;
        let mut is_last = false;
        while !is_last {
            is_last = wake.recv().is_err();
            match self.catch_up(&runtime, &mut place, &mut caught_up_at) {
                Ok(()) if said.take().is_some() => info!("share log is folded again"),
                Ok(()) => {}
                Err(error) => {
                    if let FoldError::Log(_) = error {
                        self.counters.log_unreadable.set(1);
                    }
                    let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                    if said.as_ref() != Some(&why) {
                        warn!(%error, why, "share log cannot be folded; mining goes on, the backlog grows");
                        said = Some(why);
                    }
                    place = None; // Read again from where the database says it is.
                }
            }
        }
    }

    fn catch_up(
        &self,
        runtime: &tokio::runtime::Runtime,
        place: &mut Option<Place>,
        caught_up_at: &mut Timestamp,
    ) -> Result<(), FoldError> {
        if place.is_none() {
            *place = self.find_place(runtime)?;
        }
        // Before the log's end is read: what is logged later is not meant.
        let now = (self.clock)();
        // Without a file all of it is folded, too.
        let mut folded = Seq::ZERO;
        if let Some(place) = place {
            while self.step(runtime, place)? {}
            folded = place.folded;
        }
        self.counters.log_unreadable.set(0);
        if now.since(*caught_up_at) >= CAUGHT_UP_EVERY {
            let told = runtime.block_on(self.store.host_caught_up(self.host, folded, now));
            told.map_err(|source| FoldError::Store { from: folded, to: folded, source })?;
            *caught_up_at = now;
        }
        place.as_ref().map_or(Ok(()), |place| Ok(self.tidy(place)?))
    }

    fn find_place(&self, runtime: &tokio::runtime::Runtime) -> Result<Option<Place>, FoldError> {
        let asked = runtime.block_on(self.store.host_folded(self.host));
        let folded = asked.map_err(|source| FoldError::Store { from: Seq::ZERO, to: Seq::ZERO, source })?;
        let durable = self.progress.durable();
        if folded > durable.seq {
            let why = format!("the database has record {folded}, the log ends with {}", durable.seq);
            return Err(LogError::Foreign { path: self.directory.path().to_owned(), why }.into());
        }
        let Some(reader) = LogReader::open(&self.directory, folded.plus(1))? else { return Ok(None) };
        self.publish(folded);
        let minute = reader.head().minute;
        Ok(Some(Place { reader, folded, minute, definitions: Definitions::new(self.network) }))
    }

    /// One transaction; `false` when nothing durable is left. What comes before damage is still folded.
    fn step(&self, runtime: &tokio::runtime::Runtime, place: &mut Place) -> Result<bool, FoldError> {
        let durable = self.progress.durable();
        // In force when it was written: what was found then is not priced by younger settings.
        let policy = place.reader.head().policy.unwrap_or(self.policy);
        let mut step = StepBuilder::new(place.folded, place.minute);
        let (mut at_end, mut new_file, mut damage) = (false, false, None);
        while !step.is_full() && damage.is_none() && !at_end && !new_file {
            match place.reader.next(durable) {
                Ok(Step::End) => at_end = true,
                // What was defined ends with its file, so the step does too.
                Ok(Step::NewFile) => new_file = true,
                Ok(Step::Record(seq, record)) => {
                    let taken = step.take(seq, &record, &mut place.definitions);
                    damage = taken.err().map(|why| place.reader.damage(&why));
                }
                Err(error) => damage = Some(error),
            }
        }
        let (from, to, minute) = (place.folded, step.to(), step.minute());
        if let Some(step) = step.build(self.host, policy, self.window, (self.clock)()) {
            let span = info_span!("fold", from = from.0, to = to.0);
            if let Some(mark) = self.progress.take_trace() {
                mark.continue_in(&span);
            }
            let done = runtime.block_on(self.store.fold(step).instrument(span));
            done.map_err(|source| FoldError::Store { from, to, source })?;
            place.folded = to;
        }
        place.minute = minute;
        if new_file {
            place.definitions = Definitions::new(self.network);
            place.minute = minute.max(place.reader.head().minute);
        }
        self.publish(place.folded);
        damage.map_or(Ok(!at_end), |damage| Err(damage.into()))
    }

    fn publish(&self, folded: Seq) {
        self.position.send_modify(|position| position.get_or_insert_default().folded = folded.0);
    }

    /// Measures what is left to fold and removes files that nobody needs.
    fn tidy(&self, place: &Place) -> Result<(), LogError> {
        let (mut backlog, mut done) = (0u64, Vec::new());
        for file in self.directory.files()? {
            let length = std::fs::metadata(&file.path).map_err(crate::files::at(&file.path))?.len();
            match file.number.cmp(&place.reader.file_number()) {
                Ordering::Less => done.push((file, length)),
                Ordering::Equal => backlog += length.saturating_sub(place.reader.offset()),
                Ordering::Greater => backlog += length,
            }
        }
        self.progress.set_backlog_bytes(backlog);
        self.counters.log_backlog_bytes.set(backlog);
        let kept = tidy(&self.directory, &done, place.reader.head(), place.minute, self.kept_max_bytes)?;
        self.counters.log_kept_bytes.set(kept.bytes);
        self.counters.log_removed_early_total.add(kept.removed_early);
        if kept.removed_early > 0 {
            warn!(files = kept.removed_early, "files of the share log had to go before their day was over");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
