//! The thread that owns the disk: group commit.
//!
//! Everything that arrived while the last fsync ran goes into the next one. Nobody is answered before the
//! fsync returned.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::Receiver;
use messages::counters::Counters;
use messages::facts::{Clock, LogPosition, Template};
use messages::share_ledger::{
    AppendEvents, AppendRefusal, AppendShares, Appended, AppendedShares, DefineTemplate, Event, FindShares, NewShare,
};
use runtime::{Reply, TraceMark};
use tokio::sync::{oneshot, watch};
use tracing::{Span, error, info, info_span, warn};
use units::{Minute, PolicyId, Seq};

use crate::booked::BookedTime;
use crate::files::{LogDirectory, LogEnd, LogError};
use crate::find::find_shares;
use crate::reader::Durable;
use crate::step::RECORDS_PER_STEP;
use crate::writer::{Failure, Writer};

/// Most messages that go into one commit: bounds the memory of its buffer and the wait of the first in it.
const MESSAGES_PER_COMMIT: usize = 1024;

/// What the actor hands to the thread.
pub(crate) enum Job {
    Shares(Vec<NewShare>, Reply<AppendShares>),
    Events(Vec<Event>, Reply<AppendEvents>),
    Template(Arc<Template>, Reply<DefineTemplate>),
    Find(FindShares, Reply<FindShares>),
}

/// What the disk and the fold tell each other.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    durable: Mutex<Durable>,
    /// Grows with every commit; the fold, which knows the truth, sets it after each pass.
    backlog_bytes: AtomicU64,
    /// The first commit that is not folded yet: its trace goes on in the fold.
    trace: Mutex<Option<TraceMark>>,
}

impl Progress {
    /// A log that ends there.
    #[cfg(test)]
    pub(crate) fn at(durable: Durable) -> Progress {
        Progress { durable: Mutex::new(durable), ..Progress::default() }
    }

    pub(crate) fn durable(&self) -> Durable {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trace that the next fold continues.
    pub(crate) fn take_trace(&self) -> Option<TraceMark> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep_trace(&self, span: &Span) {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| TraceMark::of(span));
    }

    pub(crate) fn set_backlog_bytes(&self, bytes: u64) {
        self.backlog_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes.load(Ordering::Relaxed)
    }
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
    pub(crate) counters: Arc<Counters>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) position: watch::Sender<Option<LogPosition>>,
    pub(crate) stall: Arc<DiskStall>,
    /// Prices the blocks that are found from now on: every file says so.
    pub(crate) policy: PolicyId,
    /// Told when enough for a whole step is durable. Less waits for the clock: every step is a transaction with an
    /// fsync of its own, which shares the disk with the log.
    pub(crate) fold: crossbeam_channel::Sender<()>,
}

enum Answer {
    Shares(AppendedShares, Reply<AppendShares>),
    Events(Appended, Reply<AppendEvents>),
    Template(Reply<DefineTemplate>),
    Found(FindShares, Reply<FindShares>),
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
        while let Ok(first) = jobs.recv() {
            self.stall.wait();
            writer.begin(self.minute(&mut time), self.segment_max_bytes);
            owned.number = writer.number();
            let batch = std::iter::once(first).chain(jobs.try_iter()).take(MESSAGES_PER_COMMIT);
            let answers = self.encode(&mut writer, batch);
            let parent = answers.first().map_or_else(Span::none, |answer| answer.span().clone());
            let span = info_span!(parent: parent, "commit", messages = answers.len(), bytes = writer.bytes());
            match span.in_scope(|| writer.commit()) {
                Ok(()) => {
                    if writer.records() > 0 {
                        self.progress.keep_trace(&span);
                    }
                    drop(span);
                    self.publish(&writer, &mut untold);
                    answers.into_iter().for_each(|answer| self.give(answer, began));
                }
                Err(Failure::NotWritten(why)) => {
                    self.note_refusal(&why);
                    answers.into_iter().for_each(|answer| self.turn_away(answer, began));
                }
                Err(Failure::Unknown(why)) => {
                    error!(why, "share log could not be synced, nor cut; it is read again");
                    return answers.into_iter().for_each(|answer| answer.refuse(AppendRefusal::Disk));
                }
            }
        }
    }

    fn minute(&self, time: &mut BookedTime) -> Minute {
        let clock = (self.clock)();
        let minute = time.minute(clock, Instant::now());
        self.counters.log_minutes_ahead.set(u64::from(minute.0.saturating_sub(clock.minute().0)));
        minute
    }

    /// Said once: a full disk is tried again with every message.
    fn note_refusal(&self, why: &str) {
        self.counters.log_refused_total.add(1);
        if self.counters.log_unwritable.get() == 0 {
            error!(why, "share log refused a write or a sync; nothing of it was kept, it is tried again");
            self.counters.log_unwritable.set(1);
        }
    }

    fn set_durable(&self, writer: &Writer) {
        let durable = Durable { file: writer.number(), offset: writer.offset(), seq: Seq(writer.next().0 - 1) };
        *self.progress.durable.lock().unwrap_or_else(PoisonError::into_inner) = durable;
        self.position.send_modify(|position| position.get_or_insert_default().durable = durable.seq.0);
    }

    fn publish(&self, writer: &Writer, untold: &mut u64) {
        let bytes = writer.bytes();
        if bytes == 0 {
            return;
        }
        self.progress.backlog_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.set_durable(writer);
        self.counters.log_records_total.add(writer.records());
        self.counters.log_syncs_total.add(1);
        self.counters.log_backlog_bytes.set(self.progress.backlog_bytes());
        if self.counters.log_unwritable.get() > 0 {
            info!("share log is written again");
            self.counters.log_unwritable.set(0);
        }
        *untold += writer.records();
        if *untold >= RECORDS_PER_STEP {
            *untold = 0;
            // Full means that the fold was told and has not looked yet.
            if let Err(crossbeam_channel::TrySendError::Disconnected(())) = self.fold.try_send(()) {
                warn!("the fold has ended; shares stay in the log until it is back");
            }
        }
    }

    fn encode(&self, writer: &mut Writer, batch: impl Iterator<Item = Job>) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(16);
        for job in batch {
            let backlog = self.progress.backlog_bytes();
            let (full, brimful) = (backlog > self.backlog_max_bytes, backlog > self.brim());
            let appended = Appended { first: writer.next(), minute: writer.minute() };
            match job {
                Job::Shares(_, reply) if full => {
                    self.counters.log_full_total.add(1);
                    reply.send(Err(AppendRefusal::Full));
                }
                Job::Shares(shares, reply) => {
                    shares.iter().for_each(|share| writer.share(share));
                    answers.push(Answer::Shares(AppendedShares { at: appended, shares }, reply));
                }
                Job::Events(_, reply) if brimful => {
                    self.counters.log_full_total.add(1);
                    reply.send(Err(AppendRefusal::Full));
                }
                Job::Events(events, reply) => {
                    events.iter().for_each(|event| writer.event(event));
                    answers.push(Answer::Events(appended, reply));
                }
                Job::Template(_, reply) if brimful => {
                    self.counters.log_full_total.add(1);
                    reply.send(Err(AppendRefusal::Full));
                }
                Job::Template(template, reply) => {
                    writer.template(&template);
                    answers.push(Answer::Template(reply));
                }
                Job::Find(question, reply) => answers.push(Answer::Found(question, reply)),
            }
        }
        answers
    }

    /// What is known about shares already logged, and templates, may take an eighth more than shares: they are few, and
    /// a flood must not keep a block candidate out.
    fn brim(&self) -> u64 {
        self.backlog_max_bytes.saturating_add(self.backlog_max_bytes / 8)
    }

    /// Nothing of the commit is in the log. Questions can be answered all the same.
    fn turn_away(&self, answer: Answer, began: Seq) {
        match answer {
            Answer::Found(..) => self.give(answer, began),
            answer => answer.refuse(AppendRefusal::Full),
        }
    }

    /// What was asked for is durable.
    fn give(&self, answer: Answer, began: Seq) {
        match answer {
            Answer::Shares(appended, reply) => reply.send(Ok(appended)),
            Answer::Events(appended, reply) => reply.send(Ok(appended)),
            Answer::Template(reply) => reply.send(Ok(())),
            Answer::Found(question, reply) => {
                let found = find_shares(&self.directory, self.progress.durable(), began, &question);
                reply.send(found.map_err(|error| {
                    warn!(%error, "shares in doubt cannot be looked up");
                    AppendRefusal::Disk
                }));
            }
        }
    }
}

impl Answer {
    fn span(&self) -> &Span {
        match self {
            Answer::Shares(_, reply) => reply.span(),
            Answer::Events(_, reply) => reply.span(),
            Answer::Template(reply) => reply.span(),
            Answer::Found(_, reply) => reply.span(),
        }
    }

    fn refuse(self, refusal: AppendRefusal) {
        match self {
            Answer::Shares(_, reply) => reply.send(Err(refusal)),
            Answer::Events(_, reply) => reply.send(Err(refusal)),
            Answer::Template(reply) => reply.send(Err(refusal)),
            Answer::Found(_, reply) => reply.send(Err(refusal)),
        }
    }
}

#[cfg(test)]
mod tests;
