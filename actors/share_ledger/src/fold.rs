//! From the log into the database: steps of whole records, each one transaction with the log position in it.
//!
//! Runs on a thread of its own and knows nothing of sessions: a database that is away only makes the
//! backlog grow.
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chain::HeaderBase;
use messages::counters::Counters;
use messages::facts::{Clock, LogPosition};
use store::batch::{ShareBatch, StoredShare};
use store::fold::{BatchRow, CandidateRow, FoldStep, LineKey, RejectRow, SegmentDelta, TemplateRow, VerdictRow};
use store::{Store, StoreError};
use tokio::sync::watch;
use tracing::{Instrument, info, info_span, warn};
use units::{Difficulty, HostId, Minute, PolicyId, Seq, Timestamp, Work};

use crate::disk::Progress;
use crate::files::{LogDirectory, LogError};
use crate::reader::{LogReader, Step};
use crate::record::{CandidateRecord, Record, Share};

/// Most records of one step: bounds the transaction and the memory.
pub(crate) const RECORDS_PER_STEP: u64 = 50_000;
/// How often the database is told that everything is folded, for the sake of blocks that wait for it.
const CAUGHT_UP_EVERY: Duration = Duration::from_secs(15);
/// Folded files that stay for audits and for claims that a restart must look at again.
const FILES_KEPT: usize = 4;

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
    pub(crate) host: HostId,
    /// For files that say no policy.
    pub(crate) policy: PolicyId,
    pub(crate) window: Duration,
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) position: watch::Sender<Option<LogPosition>>,
}

/// Where it is.
struct Place {
    reader: LogReader,
    folded: Seq,
    definitions: Definitions,
    /// In force when the reader's file was written: what was found then is not priced by younger settings.
    policy: PolicyId,
    /// When the database was last told that all is folded.
    caught_up_at: Timestamp,
}

#[derive(Default)]
struct Definitions {
    lines: HashMap<u32, LineKey>,
    templates: HashMap<u32, TemplateRow>,
}

impl Fold {
    /// Folds whatever is durable each time it is woken, and once more when the waker is gone.
    pub(crate) fn run(self, wake: &crossbeam_channel::Receiver<()>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return warn!(%error, "fold thread has no runtime"),
        };
        let mut place = None;
        let mut failing = false;
        let mut is_last = false;
        while !is_last {
            is_last = wake.recv().is_err();
            match self.catch_up(&runtime, &mut place) {
                Ok(()) if failing => {
                    failing = false;
                    info!("share log is folded again");
                }
                Ok(()) => {}
                Err(error) => {
                    if !failing {
                        let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                        warn!(%error, why, "share log cannot be folded; mining goes on, the backlog grows");
                    }
                    failing = true;
                    place = None; // Read again from where the database says it is.
                }
            }
        }
    }

    fn catch_up(&self, runtime: &tokio::runtime::Runtime, place: &mut Option<Place>) -> Result<(), FoldError> {
        if place.is_none() {
            *place = self.find_place(runtime)?;
        }
        let Some(place) = place else { return Ok(()) };
        // Before the log's end is read: what is logged later is not meant.
        let now = (self.clock)();
        while self.step(runtime, place)? {}
        if now.since(place.caught_up_at) >= CAUGHT_UP_EVERY {
            let told = runtime.block_on(self.store.host_caught_up(self.host, place.folded, now));
            told.map_err(|source| FoldError::Store { from: place.folded, to: place.folded, source })?;
            place.caught_up_at = now;
        }
        self.tidy(&place.reader)?;
        Ok(())
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
        let policy = self.policy_of(&reader)?;
        let (definitions, caught_up_at) = (Definitions::default(), Timestamp::from_ms(0));
        Ok(Some(Place { reader, folded, definitions, policy, caught_up_at }))
    }

    fn policy_of(&self, reader: &LogReader) -> Result<PolicyId, LogError> {
        Ok(self.directory.policy_of(reader.file_number())?.unwrap_or(self.policy))
    }

    /// One transaction; `false` when nothing durable is left.
    fn step(&self, runtime: &tokio::runtime::Runtime, place: &mut Place) -> Result<bool, FoldError> {
        let durable = self.progress.durable();
        let mut step = StepBuilder::new(place.folded);
        let mut at_end = false;
        while !step.is_full() {
            match place.reader.next(durable)? {
                Step::End => {
                    at_end = true;
                    break;
                }
                Step::NewFile => {
                    // What was defined ends with its file, so the step does too.
                    step.new_file = true;
                    break;
                }
                Step::Record(Some(seq), _) if seq <= place.folded => {}
                Step::Record(seq, record) => step.take(seq, &record, &mut place.definitions),
            }
        }
        let (from, to, new_file) = (place.folded, step.to, step.new_file);
        if let Some(step) = step.build(self.host, place.policy, self.window, (self.clock)()) {
            let span = info_span!("fold", from = from.0, to = to.0);
            if let Some(mark) = self.progress.take_trace() {
                mark.continue_in(&span);
            }
            let done = runtime.block_on(self.store.fold(step).instrument(span));
            done.map_err(|source| FoldError::Store { from, to, source })?;
            place.folded = to;
        }
        if new_file {
            place.definitions = Definitions::default();
            place.policy = self.policy_of(&place.reader)?;
        }
        self.publish(place.folded);
        Ok(!at_end)
    }

    fn publish(&self, folded: Seq) {
        self.position.send_modify(|position| position.get_or_insert_default().folded = folded.0);
    }

    /// Measures what is left to fold and removes files that nobody needs.
    fn tidy(&self, reader: &LogReader) -> Result<(), LogError> {
        let (mut backlog, mut done) = (0u64, Vec::new());
        for file in self.directory.files()? {
            let length = std::fs::metadata(&file.path).map_err(crate::files::at(&file.path))?.len();
            match file.number.cmp(&reader.file_number()) {
                Ordering::Less => done.push(file),
                Ordering::Equal => backlog += length.saturating_sub(reader.offset()),
                Ordering::Greater => backlog += length,
            }
        }
        self.progress.set_backlog_bytes(backlog);
        self.counters.log_backlog_bytes.set(backlog);
        for file in done.iter().rev().skip(FILES_KEPT) {
            std::fs::remove_file(&file.path).map_err(crate::files::at(&file.path))?;
        }
        Ok(())
    }
}

/// Collects records into one step.
struct StepBuilder {
    from: Seq,
    to: Seq,
    new_file: bool,
    lines: Indexed<u32, LineKey>,
    templates: Indexed<u32, TemplateRow>,
    shares: Vec<StoredShare>,
    segments: Vec<SegmentDelta>,
    open: HashMap<(usize, Minute), usize>,
    verdicts: Vec<VerdictRow>,
    rejects: Vec<RejectRow>,
    candidate: Option<CandidateRow>,
}

/// Values in order of first use, found by a local id.
struct Indexed<K, V> {
    places: HashMap<K, usize>,
    values: Vec<V>,
}

impl<K: std::hash::Hash + Eq, V> Indexed<K, V> {
    fn new() -> Self {
        Indexed { places: HashMap::new(), values: Vec::new() }
    }

    fn place(&mut self, key: K, make: impl FnOnce() -> Option<V>) -> Option<usize> {
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        self.values.push(make()?);
        self.places.insert(key, self.values.len() - 1);
        Some(self.values.len() - 1)
    }
}

impl StepBuilder {
    fn new(from: Seq) -> StepBuilder {
        StepBuilder {
            from,
            to: from,
            new_file: false,
            lines: Indexed::new(),
            templates: Indexed::new(),
            shares: Vec::new(),
            segments: Vec::new(),
            open: HashMap::new(),
            verdicts: Vec::new(),
            rejects: Vec::new(),
            candidate: None,
        }
    }

    fn is_full(&self) -> bool {
        self.candidate.is_some() || self.to.0 - self.from.0 >= RECORDS_PER_STEP
    }

    fn take(&mut self, seq: Option<Seq>, record: &Record<'_>, known: &mut Definitions) {
        self.to = seq.unwrap_or(self.to);
        let seq = self.to;
        match record {
            Record::Commit { .. } => {}
            Record::Line(line) => {
                let key = LineKey { address: line.address.into(), worker: line.worker.into(), origin: line.origin };
                known.lines.insert(line.local_id, key);
            }
            Record::Template(template) => {
                let row = template_row(template);
                known.templates.insert(template.local_id, row.clone());
                // Known to the database from now on, used or not: a block on it can be recognised.
                self.templates.place(template.local_id, || Some(row));
            }
            Record::Share(share) => self.share(seq, share, known),
            Record::Verdict(verdict) => {
                let Some(line) = self.line(verdict.line, known) else { return };
                self.verdicts.push(VerdictRow {
                    line,
                    share_seq: verdict.share,
                    minute: verdict.minute,
                    difficulty: verdict.difficulty,
                    verdict: ["verified", "rejected", "voided"][usize::from(verdict.verdict.min(2))],
                    seq,
                });
            }
            Record::Candidate(candidate) => self.candidate(candidate, known),
            Record::Rejects(rejects) => {
                let Some(line) = self.line(rejects.line, known) else { return };
                let (reason, count) = (rejects.reason.to_owned(), u64::from(rejects.count));
                self.rejects.push(RejectRow { line, minute: rejects.minute, reason, count });
            }
        }
    }

    fn line(&mut self, local_id: u32, known: &Definitions) -> Option<usize> {
        let place = self.lines.place(local_id, || known.lines.get(&local_id).cloned());
        if place.is_none() {
            warn!(local_id, "a record refers to a line that its file does not define");
        }
        place
    }

    fn template(&mut self, local_id: u32, known: &Definitions) -> Option<usize> {
        let place = self.templates.place(local_id, || known.templates.get(&local_id).cloned());
        if place.is_none() {
            warn!(local_id, "a record refers to a template that its file does not define");
        }
        place
    }

    fn share(&mut self, seq: Seq, share: &Share, known: &Definitions) {
        let (Some(line), Some(template)) = (self.line(share.line, known), self.template(share.template, known)) else {
            return;
        };
        self.shares.push(StoredShare {
            seq,
            line: u32::try_from(line).unwrap_or(u32::MAX),
            template: u32::try_from(template).unwrap_or(u32::MAX),
            nonce: share.nonce,
            difficulty: share.difficulty,
            received_at: share.received_at,
            minute: share.minute,
            flags: share.flags,
        });
        if share.flags & crate::record::VERIFIED != 0 {
            self.verdicts.push(VerdictRow {
                line,
                share_seq: seq,
                minute: share.minute,
                difficulty: share.difficulty,
                verdict: "verified",
                seq,
            });
        }
        self.book(seq, line, share.minute, share.difficulty, share.received_at);
    }

    fn book(&mut self, seq: Seq, line: usize, minute: Minute, difficulty: Difficulty, at: Timestamp) {
        let place = *self.open.entry((line, minute)).or_insert_with(|| {
            self.segments.push(SegmentDelta {
                line,
                minute,
                start_seq: seq,
                last_seq: seq,
                shares: 0,
                work: Work::ZERO,
                first_at: at,
                last_at: at,
            });
            self.segments.len() - 1
        });
        let segment = &mut self.segments[place];
        segment.last_seq = seq;
        segment.shares += 1;
        segment.work = segment.work.checked_add(difficulty.into()).expect("a minute's work fits 63 bits");
        segment.last_at = segment.last_at.max(at);
    }

    fn candidate(&mut self, candidate: &CandidateRecord, known: &Definitions) {
        let (line, template) = (self.line(candidate.line, known), self.template(candidate.template, known));
        let (Some(line), Some(template)) = (line, template) else { return };
        let Ok(header) = <[u8; 92]>::try_from(self.templates.values[template].header_base.as_slice()) else { return };
        self.candidate = Some(CandidateRow {
            line,
            template,
            hash: HeaderBase::from_bytes(header).block_id(candidate.nonce).to_string(),
            nonce: candidate.nonce.get().cast_signed(),
            share_seq: candidate.share,
            found_at: candidate.received_at,
        });
    }

    fn build(self, host: HostId, policy: PolicyId, window: Duration, at: Timestamp) -> Option<FoldStep> {
        if self.to == self.from && self.templates.values.is_empty() {
            return None;
        }
        let batch = self.batch();
        Some(FoldStep {
            host,
            from: self.from,
            to: self.to,
            lines: self.lines.values,
            templates: self.templates.values,
            batch,
            segments: self.segments,
            verdicts: self.verdicts,
            rejects: self.rejects,
            candidate: self.candidate,
            policy,
            window,
            at,
        })
    }

    fn batch(&self) -> Option<BatchRow> {
        let (first, last) = (self.shares.first()?, self.shares.last()?);
        let work = self.segments.iter().try_fold(Work::ZERO, |sum, segment| sum.checked_add(segment.work));
        let encoded = ShareBatch {
            lines: self.lines.values.clone(),
            templates: self.templates.values.iter().map(|template| template.merkle_root.clone()).collect(),
            shares: self.shares.clone(),
        };
        Some(BatchRow {
            first_seq: first.seq,
            last_seq: last.seq,
            shares: self.shares.len() as u64,
            work: work.expect("a step's work fits 63 bits"),
            first_at: self.shares.iter().map(|share| share.received_at).min()?,
            last_at: self.shares.iter().map(|share| share.received_at).max()?,
            digest: encoded.digest(),
            body: encoded.encode(),
        })
    }
}

fn template_row(template: &crate::record::TemplateDefinition<'_>) -> TemplateRow {
    let header = HeaderBase::from_bytes(*template.header_base);
    TemplateRow {
        merkle_root: header.merkle_root().to_string(),
        height: header.height(),
        prev_hash: header.prev_hash().to_string(),
        header_base: template.header_base.to_vec(),
        difficulty: Difficulty::new(header.difficulty()).unwrap_or(Difficulty::MAX),
        reward: template.reward,
        seen_at: template.fetched_at,
    }
}
