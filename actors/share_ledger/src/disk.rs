//! The thread that owns the disk: group commit.
//!
//! Everything that arrived while the last fsync ran goes into the next one. Nobody is answered before the
//! fsync returned.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use messages::conditions::Conditions;
use messages::facts::{Clock, LogPosition, Template};
use messages::share_ledger::{
    AppendEvents, AppendRefusal, AppendShares, Appended, AppendedShares, DefineTemplate, Event, FindShares, NewShare,
};
use runtime::Reply;
use tokio::sync::{oneshot, watch};
use tracing::{Span, error, info_span, warn};
use units::{Minute, PolicyId, Seq};

use crate::find::find_shares;
use crate::metrics::LedgerMetrics;
use crate::minute_clock::BookedTime;
use crate::probe::DiskHealth;
use crate::progress::{Progress, RetriedRows};
use crate::step::RECORDS_PER_STEP;
use crate::writer::{Failure, Writer};
use share_log::{Durable, LogDirectory, LogEnd, LogError};

/// Most messages that go into one commit: bounds the memory of its buffer and the wait of the first in it.
const MESSAGES_PER_COMMIT: usize = 1024;

/// What the actor hands to the thread.
pub(crate) enum Job {
    Shares(Vec<NewShare>, Reply<AppendShares>),
    Events(Vec<Event>, Reply<AppendEvents>),
    Template(Arc<Template>, Reply<DefineTemplate>),
    Find(FindShares, Reply<FindShares>),
    /// Nobody waits for it: the fold sees it in the log, or offers it again.
    Retry(RetriedRows),
}

/// Holds the disk thread back, for drills: a disk that stalls must be answered `server busy, retry`.
#[derive(Debug, Default)]
pub struct DiskStall {
    stalled: Mutex<bool>,
    changed: Condvar,
}

impl DiskStall {
    /// Stalls or releases the disk thread.
    pub fn set(&self, stalled: bool) {
        *self.stalled.lock().unwrap_or_else(PoisonError::into_inner) = stalled;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut stalled = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        while *stalled {
            stalled = self.changed.wait(stalled).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Held by the disk thread that writes: two generations of the actor never write at once. Says when both the disk thread
/// and the fold have ended with nothing left to do.
#[derive(Debug, Default)]
pub struct LogOwner {
    owned: Mutex<Owned>,
    /// Folds that have begun, and the number of the last one that ended with everything folded.
    folds: AtomicU64,
    complete: AtomicU64,
}

impl LogOwner {
    /// Nothing is written any more, and all that was written is folded, definitions included.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let begun = self.folds.load(Ordering::Acquire);
        begun > 0 && self.complete.load(Ordering::Acquire) == begun && self.owned.try_lock().is_ok()
    }

    /// A fold thread begins; its number.
    pub(crate) fn fold_begins(&self) -> u64 {
        self.folds.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// It ends, with everything folded.
    pub(crate) fn fold_is_complete(&self, number: u64) {
        self.complete.fetch_max(number, Ordering::AcqRel);
    }
}

#[derive(Debug, Default)]
struct Owned {
    /// Where this process began to write.
    began: Option<Seq>,
    /// The last file that was meant to be written: marks in lines and templates name it, so it is never begun again.
    number: u64,
}

/// Everything the thread needs.
pub(crate) struct Disk {
    pub(crate) directory: LogDirectory,
    pub(crate) segment_max_bytes: u64,
    pub(crate) backlog_max_bytes: u64,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<LedgerMetrics>,
    pub(crate) conditions: Arc<Conditions>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) position: watch::Sender<Option<LogPosition>>,
    pub(crate) stall: Arc<DiskStall>,
    /// Prices the blocks that are found from now on: every file says so.
    pub(crate) policy: PolicyId,
    /// Told when enough for a whole step is durable. Less waits for the clock: every step is a transaction with an
    /// fsync of its own, which shares the disk with the log.
    pub(crate) fold: crossbeam_channel::Sender<()>,
}

enum DiskAnswer {
    Shares(AppendedShares, Reply<AppendShares>),
    Events(Appended, Reply<AppendEvents>),
    Template(Reply<DefineTemplate>),
    Found(FindShares, Reply<FindShares>),
    Retried,
}

impl Disk {
    /// Finds the log's end, tells it, and runs until all senders are gone or the disk can no longer be trusted.
    ///
    /// `owner` keeps two generations of the actor apart: the thread of the one before ends with what it was given.
    pub(crate) fn run(self, owner: &LogOwner, opened: oneshot::Sender<Result<LogEnd, LogError>>, jobs: &Receiver<Job>) {
        let mut owned = owner.owned.lock().unwrap_or_else(PoisonError::into_inner);
        let mut end = match self.directory.recover() {
            Ok(end) => end,
            // Nobody is left to hear it when the actor was stopped meanwhile.
            Err(error) => return drop(opened.send(Err(error))),
        };
        end.next_file = end.next_file.max(owned.number + 1);
        owned.began.get_or_insert(end.next_seq);
        let writer = Writer::new(self.directory.clone(), self.policy, end.next_file, end.next_seq, end.minute);
        self.set_durable(&writer);
        if opened.send(Ok(end)).is_ok() {
            self.serve(writer, &mut owned, jobs);
        }
    }

    fn serve(&self, mut writer: Writer, owned: &mut Owned, jobs: &Receiver<Job>) {
        let began = owned.began.unwrap_or_default();
        let (mut time, mut untold) = (BookedTime::after(writer.minute()), 0);
        let mut health = DiskHealth::new(Arc::clone(&self.metrics), Arc::clone(&self.conditions));
        loop {
            let first = match jobs.recv_timeout(health.rest()) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.stall.wait();
            let outcome = match first {
                Some(first) => {
                    writer.begin(self.minute(&mut time), self.segment_max_bytes);
                    owned.number = writer.number();
                    let batch = std::iter::once(first).chain(jobs.try_iter()).take(MESSAGES_PER_COMMIT);
                    self.commit(&mut writer, batch, &mut health, began, &mut untold)
                }
                None => {
                    self.note_lead(writer.minute());
                    Ok(())
                }
            };
            let outcome = match outcome {
                Ok(()) if health.rest().is_zero() => health.probe(&self.directory, &writer),
                outcome => outcome,
            };
            if let Err(Failure::Unknown(why) | Failure::NotWritten(why)) = outcome {
                return error!(why, "share log sync and truncation failed, rereading it");
            }
        }
    }

    /// One group commit, and its answers. What was refused and is certainly not in the log is no error.
    fn commit(
        &self,
        writer: &mut Writer,
        batch: impl Iterator<Item = Job>,
        health: &mut DiskHealth,
        began: Seq,
        untold: &mut u64,
    ) -> Result<(), Failure> {
        let answers = self.encode(writer, batch);
        let bytes = writer.bytes();
        let parent = answers.first().map_or_else(Span::none, DiskAnswer::span);
        let span = info_span!(parent: parent, "commit", messages = answers.len(), bytes);
        match span.in_scope(|| writer.commit()) {
            Ok(()) => {
                if writer.records() > 0 {
                    self.progress.keep_trace(&span);
                }
                drop(span);
                if self.publish(writer, untold) {
                    health.taken();
                }
                answers.into_iter().for_each(|answer| self.give(answer, began));
            }
            Err(Failure::NotWritten(why)) => {
                self.metrics.log_refused_total.add(1);
                health.refused(bytes, &why);
                answers.into_iter().for_each(|answer| self.turn_away(answer, began));
            }
            Err(unknown) => {
                answers.into_iter().for_each(|answer| answer.refuse(AppendRefusal::Disk));
                return Err(unknown);
            }
        }
        Ok(())
    }

    fn minute(&self, time: &mut BookedTime) -> Minute {
        let minute = time.minute((self.clock)(), Instant::now());
        self.note_lead(minute);
        self.metrics.log_minutes_behind.set(u64::from(time.behind()));
        minute
    }

    /// By how much shares that were booked last lead the clock.
    fn note_lead(&self, booked: Minute) {
        let clock = (self.clock)().minute();
        self.metrics.log_minutes_ahead.set(u64::from(booked.0.saturating_sub(clock.0)));
    }

    fn set_durable(&self, writer: &Writer) {
        let durable = Durable { file: writer.number(), offset: writer.offset(), seq: Seq(writer.next().0 - 1) };
        self.progress.set_durable(durable);
        self.position.send_modify(|position| position.get_or_insert_default().durable = durable.seq.0);
    }

    /// Tells of a commit; `false` when there was nothing in it.
    fn publish(&self, writer: &Writer, untold: &mut u64) -> bool {
        let bytes = writer.bytes();
        if bytes == 0 {
            return false;
        }
        self.progress.add_backlog_bytes(bytes);
        self.set_durable(writer);
        self.metrics.log_records_total.add(writer.records());
        self.metrics.log_syncs_total.add(1);
        self.metrics.log_backlog_bytes.set(self.progress.backlog_bytes());
        *untold += writer.records();
        if *untold >= RECORDS_PER_STEP {
            *untold = 0;
            // Full means that the fold was told and has not looked yet.
            if let Err(crossbeam_channel::TrySendError::Disconnected(())) = self.fold.try_send(()) {
                warn!("fold thread ended; shares stay in the log until it restarts");
            }
        }
        true
    }

    fn encode(&self, writer: &mut Writer, batch: impl Iterator<Item = Job>) -> Vec<DiskAnswer> {
        let mut answers = Vec::with_capacity(16);
        for job in batch {
            let backlog = self.progress.backlog_bytes();
            let (full, is_over_hard_limit) = (backlog > self.backlog_max_bytes, backlog > self.hard_limit());
            let appended = Appended { first: writer.next(), minute: writer.minute() };
            match job {
                Job::Shares(_, reply) if full => {
                    self.metrics.log_full_total.add(1);
                    reply.send(Err(AppendRefusal::Full));
                }
                Job::Shares(shares, reply) => {
                    shares.iter().for_each(|share| writer.share(share));
                    answers.push(DiskAnswer::Shares(AppendedShares { at: appended, shares }, reply));
                }
                Job::Events(_, reply) if is_over_hard_limit => {
                    self.metrics.log_full_total.add(1);
                    reply.send(Err(AppendRefusal::Full));
                }
                Job::Events(events, reply) => {
                    events.iter().for_each(|event| writer.event(event));
                    answers.push(DiskAnswer::Events(appended, reply));
                }
                Job::Template(_, reply) if is_over_hard_limit => {
                    self.metrics.log_full_total.add(1);
                    reply.send(Err(AppendRefusal::Full));
                }
                Job::Template(template, reply) => {
                    writer.template(&template);
                    answers.push(DiskAnswer::Template(reply));
                }
                Job::Find(question, reply) => answers.push(DiskAnswer::Found(question, reply)),
                Job::Retry(rows) => {
                    writer.retried(rows.row, &rows.body);
                    answers.push(DiskAnswer::Retried);
                }
            }
        }
        answers
    }

    /// What is known about shares already logged, and templates, may take an eighth more than shares: they are few, and
    /// a flood must not keep a block candidate out.
    fn hard_limit(&self) -> u64 {
        self.backlog_max_bytes.saturating_add(self.backlog_max_bytes / 8)
    }

    /// Nothing of the commit is in the log. Questions can be answered all the same.
    fn turn_away(&self, answer: DiskAnswer, began: Seq) {
        match answer {
            DiskAnswer::Found(..) | DiskAnswer::Retried => self.give(answer, began),
            answer => answer.refuse(AppendRefusal::Full),
        }
    }

    /// What was asked for is durable.
    fn give(&self, answer: DiskAnswer, began: Seq) {
        match answer {
            DiskAnswer::Shares(appended, reply) => reply.send(Ok(appended)),
            DiskAnswer::Events(appended, reply) => reply.send(Ok(appended)),
            DiskAnswer::Template(reply) => reply.send(Ok(())),
            DiskAnswer::Retried => self.progress.retry_done(),
            DiskAnswer::Found(question, reply) => {
                let found = find_shares(&self.directory, self.progress.durable(), began, &question);
                reply.send(found.map_err(|error| {
                    warn!(%error, "in-doubt shares cannot be looked up");
                    AppendRefusal::Disk
                }));
            }
        }
    }
}

impl DiskAnswer {
    fn span(&self) -> Span {
        match self {
            DiskAnswer::Shares(_, reply) => reply.span().clone(),
            DiskAnswer::Events(_, reply) => reply.span().clone(),
            DiskAnswer::Template(reply) => reply.span().clone(),
            DiskAnswer::Found(_, reply) => reply.span().clone(),
            DiskAnswer::Retried => Span::none(),
        }
    }

    fn refuse(self, refusal: AppendRefusal) {
        match self {
            DiskAnswer::Shares(_, reply) => reply.send(Err(refusal)),
            DiskAnswer::Events(_, reply) => reply.send(Err(refusal)),
            DiskAnswer::Template(reply) => reply.send(Err(refusal)),
            DiskAnswer::Found(_, reply) => reply.send(Err(refusal)),
            // The log is read again, and the next generation offers it again if it is not in there.
            DiskAnswer::Retried => {}
        }
    }
}

#[cfg(test)]
mod tests;
