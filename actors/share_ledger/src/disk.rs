//! The thread that owns the disk: group commit.
//!
//! Everything that arrived while the last fsync ran goes into the next one. Nobody is answered before the
//! fsync returned.
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crossbeam_channel::Receiver;
use messages::counters::Counters;
use messages::facts::{Clock, Line, LogPosition, Template};
use messages::share_ledger::{
    AppendEvents, AppendRefusal, AppendShares, Appended, AppendedShares, DefineTemplate, Event, NewShare, Verdict,
};
use runtime::{Reply, TraceMark};
use tokio::sync::{oneshot, watch};
use tracing::{Span, error, info_span, warn};
use units::{Minute, Seq};

use crate::files::{LogDirectory, LogEnd, LogError};
use crate::fold::RECORDS_PER_STEP;
use crate::reader::Durable;
use crate::record::{
    CLAIMS_BLOCK, CandidateRecord, FILE_HEAD, FileHead, LineDefinition, Record, RejectsRecord, Share,
    TemplateDefinition, VERIFIED, VerdictRecord,
};

/// Most messages that go into one commit: bounds the memory of its buffer and the wait of the first in it.
const MESSAGES_PER_COMMIT: usize = 1024;

/// What the actor hands to the thread.
pub(crate) enum Job {
    Shares(Vec<NewShare>, Reply<AppendShares>),
    Events(Vec<Event>, Reply<AppendEvents>),
    Template(Arc<Template>, Reply<DefineTemplate>),
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

/// Everything the thread needs.
pub(crate) struct Disk {
    pub(crate) directory: LogDirectory,
    pub(crate) segment_max_bytes: u64,
    pub(crate) backlog_max_bytes: u64,
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) position: watch::Sender<LogPosition>,
    pub(crate) stall: Arc<DiskStall>,
    /// Told when enough for a whole step is durable. Less waits for the clock: every step is a transaction with an
    /// fsync of its own, which shares the disk with the log.
    pub(crate) fold: crossbeam_channel::Sender<()>,
}

struct Writer {
    file: File,
    number: u64,
    offset: u64,
    ordinal: u64,
    next: Seq,
    minute: Minute,
    bytes: Vec<u8>,
    /// Records since the fold was last told of any.
    untold: u64,
}

enum Answer {
    Shares(AppendedShares, Reply<AppendShares>),
    Events(Appended, Reply<AppendEvents>),
    Template(Reply<DefineTemplate>),
}

impl Disk {
    /// Finds the log's end, tells it, and runs until all senders are gone or the disk can no longer be trusted.
    ///
    /// `owner` keeps two generations of the actor apart: the thread of the one before ends with what it was given.
    pub(crate) fn run(
        self,
        owner: &Mutex<()>,
        opened: oneshot::Sender<Result<LogEnd, LogError>>,
        jobs: &Receiver<Job>,
    ) {
        let _owner = owner.lock().unwrap_or_else(PoisonError::into_inner);
        let started = self.directory.recover().and_then(|end| {
            let writer = self.new_file(end.next_file, end.next_seq, end.minute)?;
            Ok((end, writer))
        });
        let (told, writer) = match started {
            Ok((end, writer)) => (opened.send(Ok(end)), Some(writer)),
            Err(error) => (opened.send(Err(error)), None),
        };
        if let (Ok(()), Some(writer)) = (told, writer) {
            self.serve(writer, jobs);
        }
    }

    fn serve(&self, mut writer: Writer, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            self.stall.wait();
            if writer.offset >= self.segment_max_bytes {
                match self.new_file(writer.number + 1, writer.next, writer.minute) {
                    Ok(next) => writer = next,
                    Err(error) => return error!(%error, "share log cannot go on to a new file"),
                }
            }
            let (before, batch) =
                (writer.next, std::iter::once(first).chain(jobs.try_iter()).take(MESSAGES_PER_COMMIT));
            let answers = self.encode(&mut writer, batch);
            let parent = answers.first().map_or_else(Span::none, |answer| answer.span().clone());
            let span = info_span!(parent: parent, "commit", messages = answers.len(), bytes = writer.bytes.len());
            match span.in_scope(|| commit(&mut writer)) {
                Ok(()) => {
                    self.progress.keep_trace(&span);
                    drop(span);
                    self.publish(&mut writer, before);
                    answers.into_iter().for_each(|answer| answer.give(Ok(())));
                }
                Err(Failure::NotWritten(error)) => {
                    warn!(%error, "share log refused a write; nothing of it was kept");
                    answers.into_iter().for_each(|answer| answer.give(Err(AppendRefusal::Full)));
                    // A new file, since what the lines and templates believe to be defined is not.
                    match self.new_file(writer.number + 1, before, writer.minute) {
                        Ok(next) => writer = next,
                        Err(error) => return error!(%error, "share log cannot go on to a new file"),
                    }
                }
                Err(Failure::Unknown(error)) => {
                    error!(%error, "share log could not be synced");
                    return answers.into_iter().for_each(|answer| answer.give(Err(AppendRefusal::Disk)));
                }
            }
        }
    }

    fn new_file(&self, number: u64, next: Seq, minute: Minute) -> Result<Writer, LogError> {
        let file = self.directory.create(FileHead { number, base: next })?;
        let writer = Writer {
            file,
            number,
            offset: FILE_HEAD as u64,
            ordinal: 0,
            next,
            minute,
            bytes: Vec::with_capacity(1 << 20),
            untold: 0,
        };
        self.set_durable(&writer);
        Ok(writer)
    }

    fn set_durable(&self, writer: &Writer) {
        let durable = Durable { file: writer.number, offset: writer.offset, seq: Seq(writer.next.0 - 1) };
        *self.progress.durable.lock().unwrap_or_else(PoisonError::into_inner) = durable;
        self.position.send_modify(|position| position.durable = durable.seq.0);
    }

    fn publish(&self, writer: &mut Writer, before: Seq) {
        let bytes = writer.bytes.len() as u64;
        writer.offset += bytes;
        self.progress.backlog_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.set_durable(writer);
        let records = writer.next.0 - before.0;
        self.counters.log_records_total.add(records);
        self.counters.log_syncs_total.add(1);
        self.counters.log_backlog_bytes.set(self.progress.backlog_bytes());
        writer.untold += records;
        if writer.untold >= RECORDS_PER_STEP {
            writer.untold = 0;
            // Full means that the fold was told and has not looked yet.
            if let Err(crossbeam_channel::TrySendError::Disconnected(())) = self.fold.try_send(()) {
                warn!("the fold has ended; shares stay in the log until it is back");
            }
        }
    }

    fn encode(&self, writer: &mut Writer, batch: impl Iterator<Item = Job>) -> Vec<Answer> {
        writer.bytes.clear();
        writer.ordinal += 1;
        writer.minute = writer.minute.max((self.clock)().minute());
        Record::Commit { ordinal: writer.ordinal }.encode(writer.number, &mut writer.bytes);
        let full = self.progress.backlog_bytes() > self.backlog_max_bytes;
        let mut answers = Vec::with_capacity(16);
        for job in batch {
            let appended = Appended { first: writer.next, minute: writer.minute };
            match job {
                Job::Shares(_, reply) if full => {
                    self.counters.log_full_total.add(1);
                    reply.send(Err(AppendRefusal::Full));
                }
                Job::Shares(shares, reply) => {
                    shares.iter().for_each(|share| writer.share(share));
                    answers.push(Answer::Shares(AppendedShares { at: appended, shares }, reply));
                }
                Job::Events(events, reply) => {
                    events.iter().for_each(|event| writer.event(event));
                    answers.push(Answer::Events(appended, reply));
                }
                Job::Template(template, reply) => {
                    writer.define_template(&template);
                    answers.push(Answer::Template(reply));
                }
            }
        }
        answers
    }
}

enum Failure {
    NotWritten(std::io::Error),
    Unknown(std::io::Error),
}

fn commit(writer: &mut Writer) -> Result<(), Failure> {
    if let Err(error) = writer.file.write_all(&writer.bytes) {
        // Cut what may have been written of it: only then is it certain that the records are not in the log.
        let cut = writer.file.set_len(writer.offset).and_then(|()| writer.file.sync_all());
        return Err(if cut.is_ok() { Failure::NotWritten(error) } else { Failure::Unknown(error) });
    }
    writer.file.sync_data().map_err(Failure::Unknown)
}

impl Answer {
    fn span(&self) -> &Span {
        match self {
            Answer::Shares(_, reply) => reply.span(),
            Answer::Events(_, reply) => reply.span(),
            Answer::Template(reply) => reply.span(),
        }
    }

    fn give(self, outcome: Result<(), AppendRefusal>) {
        match self {
            Answer::Shares(appended, reply) => reply.send(outcome.map(|()| appended)),
            Answer::Events(appended, reply) => reply.send(outcome.map(|()| appended)),
            Answer::Template(reply) => reply.send(outcome),
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Files are numbered by 64 bits, the marks in lines and templates have 32: enough for 250 PiB of log.
    fn mark(&self) -> u32 {
        u32::try_from(self.number).unwrap_or(u32::MAX)
    }

    fn put(&mut self, record: &Record<'_>) {
        record.encode(self.number, &mut self.bytes);
        self.next = self.next.plus(u64::from(record.is_positioned()));
    }

    /// Whether this file has no such definition yet; notes that it will. Only this thread writes marks, and nearly always
    /// the mark is there, so it is only read: a write would take the line from the caches of all other threads.
    fn is_new(&self, mark: &AtomicU32) -> bool {
        let is_new = mark.load(Ordering::Relaxed) != self.mark();
        if is_new {
            mark.store(self.mark(), Ordering::Relaxed);
        }
        is_new
    }

    fn define_line(&mut self, line: &Line) {
        if self.is_new(&line.defined_in) {
            self.put(&Record::Line(LineDefinition {
                local_id: line.local_id,
                origin: line.origin.0,
                address: &line.address,
                worker: &line.worker,
            }));
        }
    }

    fn define_template(&mut self, template: &Template) {
        if self.is_new(&template.defined_in) {
            self.put(&Record::Template(TemplateDefinition {
                local_id: template.local_id,
                header_base: template.header_base.as_bytes(),
                target: template.network_target.as_bytes(),
                reward: template.reward,
                fetched_at: template.fetched_at,
                daemon_id: template.daemon_id.as_deref().unwrap_or(""),
                reward_address: &template.reward_address,
                block: template.block.get(),
            }));
        }
    }

    fn share(&mut self, share: &NewShare) {
        self.define_line(&share.line);
        self.define_template(&share.template);
        let flags = (u8::from(share.verified) * VERIFIED) | (u8::from(share.claims_block) * CLAIMS_BLOCK);
        self.put(&Record::Share(Share {
            line: share.line.local_id,
            template: share.template.local_id,
            nonce: share.nonce,
            difficulty: share.difficulty,
            received_at: share.received_at,
            minute: self.minute,
            flags,
        }));
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Verdict { share, minute, line, difficulty, verdict } => {
                self.define_line(line);
                let verdict = match verdict {
                    Verdict::Verified => 0,
                    Verdict::Rejected => 1,
                    Verdict::Voided => 2,
                };
                self.put(&Record::Verdict(VerdictRecord {
                    share: *share,
                    minute: *minute,
                    line: line.local_id,
                    difficulty: *difficulty,
                    verdict,
                }));
            }
            Event::Candidate { share, line, template, nonce, received_at } => {
                self.define_line(line);
                self.define_template(template);
                self.put(&Record::Candidate(CandidateRecord {
                    share: *share,
                    line: line.local_id,
                    template: template.local_id,
                    nonce: *nonce,
                    received_at: *received_at,
                }));
            }
            Event::Rejects { line, reason, minute, count } => {
                self.define_line(line);
                self.put(&Record::Rejects(RejectsRecord {
                    line: line.local_id,
                    minute: *minute,
                    count: *count,
                    reason,
                }));
            }
        }
    }
}
