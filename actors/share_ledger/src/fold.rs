//! From the log into the database: steps of whole records, each one transaction with the log position in it.
//!
//! Runs on a thread of its own and knows nothing of sessions: a database that is away only makes the
//! backlog grow.
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::Network;
use messages::conditions::{ConditionKind, Conditions};
use messages::facts::{Clock, LogPosition};
use store::set_aside::OpenItem;
use store::{Store, StoreError};
use tokio::sync::watch;
use tracing::{Instrument, debug, info, info_span, warn};
use units::{HostId, Minute, PolicyId, Seq, Timestamp};

use crate::aside::{KnownAside, RECORDS_MAX, positions};
use crate::definitions::Definitions;
use crate::disk::LogOwner;
use crate::intake::{Asker, Intake};
use crate::metrics::LedgerMetrics;
use crate::progress::{Progress, RetriedRows};
use crate::prune::tidy;
use crate::step::StepBuilder;
use share_log::{LogDirectory, LogError};
use share_log::{LogReader, Step};

mod isolate;

/// How often the database is told that everything is folded, for the sake of blocks that wait for it.
const CAUGHT_UP_EVERY: Duration = Duration::from_secs(5);

/// A step that the database refuses is tried again after this time: the tries are many.
const REFUSED_REST: Duration = Duration::from_secs(5);

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
    /// So much is set aside that the fault is not with the records.
    #[error(
        "record {at} would be set aside as well, but {what} are already; mend the cause, then run `meshpool log retry`"
    )]
    TooMuchAside {
        /// Its position.
        at: Seq,
        /// How much is.
        what: String,
        /// What the database says of this one.
        source: Option<StoreError>,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl FoldError {
    /// Every fault with what is behind it.
    fn whole(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    fn is_refusal(&self) -> bool {
        matches!(self, FoldError::Store { source, .. } if source.refusal().is_some())
    }

    /// Whether it may be over in a moment, as when the database is restarted.
    fn may_pass(&self) -> bool {
        matches!(self, FoldError::Store { .. }) && !self.is_refusal()
    }
}

fn unanswered(folded: Seq, source: StoreError) -> FoldError {
    FoldError::Store { from: folded, to: folded, source }
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
    pub(crate) metrics: Arc<LedgerMetrics>,
    pub(crate) conditions: Arc<Conditions>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) owner: Arc<LogOwner>,
    pub(crate) position: watch::Sender<Option<LogPosition>>,
}

/// Where it is.
struct FoldCursor {
    reader: LogReader,
    folded: Seq,
    /// The latest that a share was booked to.
    minute: Minute,
    definitions: Definitions,
    intake: Intake,
    aside: KnownAside,
}

/// What lasts from one pass to the next.
#[derive(Default)]
struct Passes {
    place: Option<FoldCursor>,
    caught_up_at: Option<Timestamp>,
    /// Passes that failed in a row.
    failed: u32,
    /// Nothing is tried before.
    rest_until: Option<Instant>,
}

impl Fold {
    /// Folds whatever is durable each time it is woken, and once more when the waker is gone.
    pub(crate) fn run(self, wake: &crossbeam_channel::Receiver<()>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return warn!(%error, "fold thread has no runtime"),
        };
        let number = self.owner.fold_begins();
        let mut passes = Passes::default();
        let mut is_last = false;
        while !is_last {
            is_last = wake.recv().is_err();
            if !is_last && passes.rest_until.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            let outcome = self.catch_up(&runtime, &mut passes);
            if is_last && outcome.is_ok() {
                self.owner.fold_is_complete(number);
            }
            self.note_gap(&outcome);
            match outcome {
                Ok(()) => {
                    (passes.failed, passes.rest_until) = (0, None);
                    self.conditions.clear(ConditionKind::FoldStopped);
                }
                Err(error) => self.stopped(&error, &mut passes),
            }
        }
    }

    fn stopped(&self, error: &FoldError, passes: &mut Passes) {
        passes.place = None; // Read again from where the database says it is.
        if let FoldError::Log(LogError::Gap { .. }) = error {
            // It has a condition of its own.
            return self.conditions.clear(ConditionKind::FoldStopped);
        }
        if let FoldError::Log(_) = error {
            self.metrics.log_unreadable.set(1);
        }
        passes.failed = passes.failed.saturating_add(1);
        if !error.may_pass() {
            passes.rest_until = Some(Instant::now() + REFUSED_REST);
        } else if passes.failed < 2 {
            return debug!(error = error.whole(), "fold step failed, will retry");
        }
        let text = "shares are not booked: the share log cannot be written to the database";
        let detail = format!("{text}: {}; mining goes on, the backlog grows", error.whole());
        self.conditions.set(ConditionKind::FoldStopped, text, &detail);
    }

    fn catch_up(&self, runtime: &tokio::runtime::Runtime, passes: &mut Passes) -> Result<(), FoldError> {
        if passes.place.is_none() {
            passes.place = self.find_place(runtime)?;
        }
        // Before the log's end is read: what is logged later is not meant.
        let (now, retry_is_free) = ((self.clock)(), self.progress.retry_is_free());
        // Without a file all of it is folded, too.
        let mut folded = Seq::ZERO;
        if let Some(place) = &mut passes.place {
            if place.aside.items > 0 {
                place.aside = self.read_aside(runtime)?;
            }
            while self.step(runtime, place)? {}
            folded = place.folded;
            if retry_is_free && place.aside.is_wanted {
                self.offer_retry(runtime)?;
            }
        }
        self.metrics.log_unreadable.set(0);
        if passes.caught_up_at.is_none_or(|at| now.since(at) >= CAUGHT_UP_EVERY) {
            let told = runtime.block_on(self.store.host_caught_up(self.host, folded, now));
            told.map_err(|source| FoldError::Store { from: folded, to: folded, source })?;
            passes.caught_up_at = Some(now);
        }
        passes.place.as_ref().map_or(Ok(()), |place| Ok(self.tidy(place)?))
    }

    fn find_place(&self, runtime: &tokio::runtime::Runtime) -> Result<Option<FoldCursor>, FoldError> {
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
        let (definitions, intake, aside) =
            (Definitions::new(self.network), Intake::default(), self.read_aside(runtime)?);
        Ok(Some(FoldCursor { reader, folded, minute, definitions, intake, aside }))
    }

    /// One transaction; `false` when nothing durable is left. What comes before damage is still folded.
    fn step(&self, runtime: &tokio::runtime::Runtime, place: &mut FoldCursor) -> Result<bool, FoldError> {
        let durable = self.progress.durable();
        let policy = self.policy_of(runtime, place)?;
        let mut step = StepBuilder::new(place.folded, place.minute);
        let (mut at_end, mut new_file, mut damage) = (false, false, None);
        let FoldCursor { reader, folded, definitions, intake, aside, .. } = &mut *place;
        let asker = Asker { store: &self.store, host: self.host, runtime, released: aside.released };
        while !step.is_full() && damage.is_none() && !at_end && !new_file {
            match reader.next(durable) {
                Ok(Step::End) => at_end = true,
                // What was defined ends with its file, so the step does too.
                Ok(Step::NewFile) => new_file = true,
                Ok(Step::Record(seq, record)) => {
                    let sorted =
                        intake.sort(seq, record, *folded, &asker).map_err(|source| unanswered(*folded, source))?;
                    let taken = step.take(seq, &sorted, definitions, aside);
                    damage = taken.err().map(|why| reader.damage(&why.to_string()));
                }
                Err(error) => damage = Some(error),
            }
        }
        let to = step.to();
        match self.write(runtime, place, step, policy) {
            Err(error) if error.is_refusal() && to > place.folded => {
                debug!(error = error.whole(), "fold step refused, looking for the record");
                *place = self.isolate(runtime, std::mem::take(&mut place.aside), to)?;
                return Ok(true);
            }
            written => written?,
        }
        if new_file {
            place.definitions = Definitions::new(self.network);
            place.minute = place.minute.max(place.reader.head().minute);
        }
        damage.map_or(Ok(!at_end), |damage| Err(damage.into()))
    }

    fn write(
        &self,
        runtime: &tokio::runtime::Runtime,
        place: &mut FoldCursor,
        step: StepBuilder,
        policy: PolicyId,
    ) -> Result<(), FoldError> {
        let (from, to, minute) = (place.folded, step.to(), step.minute());
        let (set_aside, changes_aside) = (step.set_aside(), step.set_aside() > 0 || step.has_retried());
        if set_aside > 0 && place.aside.records + set_aside > RECORDS_MAX {
            let what = format!("{} records", place.aside.records);
            return Err(FoldError::TooMuchAside { at: from.plus(1), what, source: None });
        }
        if let Some(step) = step.build(self.host, policy, self.window, (self.clock)()) {
            let span = info_span!("fold", from = from.0, to = to.0);
            if let Some(mark) = self.progress.take_trace() {
                mark.continue_in(&span);
            }
            let done = runtime.block_on(self.store.fold(step).instrument(span));
            done.map_err(|source| FoldError::Store { from, to, source })?;
            place.folded = to;
            self.metrics.log_set_aside_total.add(set_aside);
            place.intake.written();
            if changes_aside {
                place.aside = self.read_aside(runtime)?;
            }
        }
        place.minute = minute;
        self.publish(place.folded);
        Ok(())
    }

    /// What is set aside, and whether that is to be told.
    fn read_aside(&self, runtime: &tokio::runtime::Runtime) -> Result<KnownAside, FoldError> {
        let state = runtime.block_on(self.store.set_aside_state(self.host));
        let aside = KnownAside::of(state.map_err(|source| unanswered(Seq::ZERO, source))?);
        self.metrics.log_set_aside_items.set(aside.items as u64);
        self.metrics.log_set_aside_records.set(aside.records);
        let state = aside.oldest.as_ref().map(|oldest| {
            let text = "share log records that the database refuses are set aside";
            let (items, records) = (aside.items, aside.records);
            let OpenItem { kind, seq, why, .. } = oldest;
            let detail = format!(
                "{text}: {records} records of {items} refused ones; the first is the {kind} of record {seq}: {why}; \
                 mend the cause, then run `meshpool log retry`"
            );
            (text.to_owned(), detail)
        });
        self.conditions.put(ConditionKind::RecordsSetAside, state);
        Ok(aside)
    }

    /// Hands on what an operator wants to be tried again. It is in the log when the slot is free again, or will never be;
    /// everything that was in the log before is folded, so the row is not in there.
    fn offer_retry(&self, runtime: &tokio::runtime::Runtime) -> Result<(), FoldError> {
        let failed = |source| unanswered(Seq::ZERO, source);
        let Some(row) = runtime.block_on(self.store.set_aside_next(self.host)).map_err(failed)? else { return Ok(()) };
        let count = positions(&row.body).count() as u64;
        if count != row.records {
            let (what, why) = (format!("set_aside_records {}", row.id), format!("it has {count} records"));
            return Err(failed(StoreError::Damaged { what, why }));
        }
        info!(row = row.id, records = row.records, "set-aside records appended to the share log again");
        self.progress.offer_retry(RetriedRows { row: row.id, body: row.body });
        Ok(())
    }

    /// The one that a file was written under: what was found then is not priced by younger settings. The present one
    /// where that is not known, or only the log knows it since the database was put back from an older copy.
    fn policy_of(&self, runtime: &tokio::runtime::Runtime, place: &FoldCursor) -> Result<PolicyId, FoldError> {
        let Some(policy) = place.reader.head().policy.filter(|policy| *policy != self.policy) else {
            return Ok(self.policy);
        };
        match runtime.block_on(self.store.policy_get(policy)) {
            Ok(_) => Ok(policy),
            Err(StoreError::Conflict { .. }) => Ok(self.policy),
            Err(source) => Err(FoldError::Store { from: place.folded, to: place.folded, source }),
        }
    }

    /// Books that are older than the log's oldest file wait for an operator.
    fn note_gap(&self, outcome: &Result<(), FoldError>) {
        let state = match outcome {
            Err(FoldError::Log(LogError::Gap { from, to, .. })) => {
                let name = self.directory.stored_host_name().ok().flatten().unwrap_or_default();
                let text = "share log lacks records that the database does not have either: shares are not booked";
                let detail = format!(
                    "the share log of host {name} in {} lacks positions {from} to {to}, which the database does not have \
                     either: put back the log's files, or a later copy of the database, or give them up with \
                     `meshpool hosts accept-gap {name}`",
                    self.directory.path().display(),
                );
                Some((text.to_owned(), detail))
            }
            // Nobody knows while the database is away.
            Err(FoldError::Store { .. }) => return,
            _ => None,
        };
        self.conditions.put(ConditionKind::LogGap, state);
    }

    fn publish(&self, folded: Seq) {
        self.position.send_modify(|position| position.get_or_insert_default().folded = folded.0);
    }

    /// Measures what is left to fold and removes files that nobody needs.
    fn tidy(&self, place: &FoldCursor) -> Result<(), LogError> {
        let (mut backlog, mut done) = (0u64, Vec::new());
        for file in self.directory.files()? {
            let length = std::fs::metadata(&file.path).map_err(share_log::at(&file.path))?.len();
            match file.number.cmp(&place.reader.file_number()) {
                Ordering::Less => done.push((file, length)),
                Ordering::Equal => backlog += length.saturating_sub(place.reader.offset()),
                Ordering::Greater => backlog += length,
            }
        }
        self.progress.set_backlog_bytes(backlog);
        self.metrics.log_backlog_bytes.set(backlog);
        let kept = tidy(&self.directory, &done, place.reader.head(), place.minute, self.kept_max_bytes)?;
        self.metrics.log_kept_bytes.set(kept.bytes);
        self.metrics.log_removed_early_total.add(kept.removed_early);
        if kept.removed_early > 0 {
            warn!(files = kept.removed_early, "share log files deleted early: disk budget reached");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
