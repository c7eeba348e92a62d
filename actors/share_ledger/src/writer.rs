//! What the disk thread writes: messages as records, and a commit of them as one write and one sync.
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use messages::facts::{Template, WorkerIdentity};
use messages::share_ledger::{Event, NewShare, Verdict};
use units::{Minute, PolicyId, Seq};

use crate::aside::frames;
use share_log::LogDirectory;
use share_log::record::{
    CLAIMS_BLOCK, CandidateRecord, FILE_HEAD, FOUND_TRUE, FileHead, IdentityDefinition, Record, RejectsRecord, Retried,
    Share, TemplateDefinition, VERIFIED, VerdictRecord,
};

/// Bytes that a probe writes at most.
const PROBE_MAX: usize = 1 << 20;
/// A file is left when so many definitions have taken its ids; one commit cannot use up the rest.
const IDS_MAX: u32 = 1 << 31;

/// The file that is written, and the commit in the making.
pub(crate) struct Writer {
    directory: LogDirectory,
    /// In force from now on.
    policy: PolicyId,
    /// Made with its first commit.
    file: Option<File>,
    number: u64,
    offset: u64,
    next: Seq,
    minute: Minute,
    bytes: Vec<u8>,
    at: FileCounts,
    /// Where the commit in the making began.
    before: (Seq, Minute, FileCounts),
    /// What the commit in the making defines.
    defined: Vec<Defined>,
}

/// Counts of the file.
#[derive(Clone, Copy, Default)]
struct FileCounts {
    commits: u64,
    ids: u32,
}

enum Defined {
    Identity(Arc<WorkerIdentity>),
    Template(Arc<Template>),
}

/// Why a commit is not durable.
pub(crate) enum Failure {
    /// Nothing of it is in the log.
    NotWritten(String),
    /// Only reading the log again can tell.
    Unknown(String),
}

impl Writer {
    /// Goes on with file `number`, which is made with its first commit.
    pub(crate) fn new(directory: LogDirectory, policy: PolicyId, number: u64, next: Seq, minute: Minute) -> Writer {
        let bytes = Vec::with_capacity(1 << 20);
        let before = (next, minute, FileCounts::default());
        let (offset, at, defined) = (FILE_HEAD as u64, FileCounts::default(), Vec::new());
        Writer { directory, policy, file: None, number, offset, next, minute, bytes, at, before, defined }
    }

    /// The file that the commit in the making goes to.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Where the next commit will begin in it.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Position of the next record.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    /// The minute that shares are booked to.
    pub(crate) fn minute(&self) -> Minute {
        self.minute
    }

    /// Bytes of the commit in the making.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Positions that the commit in the making takes.
    pub(crate) fn records(&self) -> u64 {
        self.next.0 - self.before.0.0
    }

    /// Begins the next commit, in a new file if this one has reached `segment_max` bytes; its shares are booked to
    /// `minute`.
    pub(crate) fn begin(&mut self, minute: Minute, segment_max: u64) {
        if self.offset > FILE_HEAD as u64 && (self.offset >= segment_max || self.at.ids >= IDS_MAX) {
            (self.file, self.at) = (None, FileCounts::default());
            (self.number, self.offset) = (self.number + 1, FILE_HEAD as u64);
        }
        self.before = (self.next, self.minute, self.at);
        self.defined.clear();
        self.bytes.clear();
        self.minute = minute;
        self.at.commits += 1;
        Record::Commit { ordinal: self.at.commits }.encode(self.number, &mut self.bytes);
    }

    /// Writes and syncs what was put in. A commit of nothing costs nothing.
    pub(crate) fn commit(&mut self) -> Result<(), Failure> {
        if self.records() == 0 && self.defined.is_empty() {
            self.take_back();
            return Ok(());
        }
        let written = self.write();
        match &written {
            Ok(()) => self.offset += self.bytes(),
            Err(Failure::NotWritten(_)) => self.take_back(),
            Err(Failure::Unknown(_)) => {}
        }
        written
    }

    fn write(&mut self) -> Result<(), Failure> {
        if self.file.is_none() {
            // Nothing was written since the last try, so a file that was left half made is made again just the same.
            let (base, minute) = (self.before.0, self.before.1);
            let head = FileHead { number: self.number, base, minute, policy: Some(self.policy) };
            let made = self.directory.create(head);
            self.file = Some(made.map_err(|error| Failure::NotWritten(error.to_string()))?);
        }
        let file = self.file.as_ref().expect("it was made");
        // At the offset: a write that was refused may have moved the file's own place.
        if let Err(error) = file.write_all_at(&self.bytes, self.offset) {
            // A disk that is read-only now takes no cut either, and needs none.
            let untouched = file.metadata().is_ok_and(|file| file.len() <= self.offset);
            return if untouched { Err(Failure::NotWritten(self.named(&error))) } else { self.cut(file, &error) };
        }
        file.sync_data().or_else(|error| self.cut(file, &error))
    }

    /// Cuts what may have been written behind the last commit: only then is it certain that the records are not in the
    /// log. After a failed sync they may be in memory and not on disk, which reading them again would not show.
    fn cut(&self, file: &File, error: &io::Error) -> Result<(), Failure> {
        let cut = file.set_len(self.offset).and_then(|()| file.sync_all());
        let why = self.named(error);
        Err(if cut.is_ok() { Failure::NotWritten(why) } else { Failure::Unknown(why) })
    }

    fn named(&self, error: &io::Error) -> String {
        format!("file {}: {error}", self.number)
    }

    /// Whether the open file would take so many bytes now; whatever the answer, they are not in it after. A process that
    /// dies in the middle leaves zeros, which are no records and are cut at the next start.
    pub(crate) fn probe(&self, bytes: u64) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Ok(()) };
        let zeros = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(PROBE_MAX)];
        let tried = file.write_all_at(&zeros, self.offset).and_then(|()| file.sync_data());
        let untouched = file.metadata().is_ok_and(|file| file.len() <= self.offset);
        let cut = if untouched { Ok(()) } else { file.set_len(self.offset).and_then(|()| file.sync_all()) };
        match (tried, cut) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(error), Ok(())) => Err(Failure::NotWritten(self.named(&error))),
            (_, Err(error)) => Err(Failure::Unknown(self.named(&error))),
        }
    }

    /// As if the commit in the making had never begun: what it would have defined is not defined.
    fn take_back(&mut self) {
        (self.next, self.minute, self.at) = self.before;
        self.bytes.clear();
        for defined in self.defined.drain(..) {
            match defined {
                Defined::Identity(line) => line.defined_in.store(0, Ordering::Relaxed),
                Defined::Template(template) => template.defined_in.store(0, Ordering::Relaxed),
            }
        }
    }

    fn put(&mut self, record: &Record<'_>) {
        record.encode(self.number, &mut self.bytes);
        self.next = self.next.plus(u64::from(record.is_positioned()));
    }

    /// The id of a definition in this file, and whether it is new. Only this thread writes marks, and nearly always the
    /// mark is there, so it is only read: a write would take the line from the caches of all other threads.
    fn id(&mut self, mark: &AtomicU64) -> (u32, bool) {
        // Never 0, and the same again only after 2^32 files.
        let file = self.number % u64::from(u32::MAX) + 1;
        let known = mark.load(Ordering::Relaxed);
        if known >> 32 == file {
            return (u32::try_from(known & u64::from(u32::MAX)).expect("32 bits"), false);
        }
        self.at.ids += 1;
        mark.store(file << 32 | u64::from(self.at.ids), Ordering::Relaxed);
        (self.at.ids, true)
    }

    fn line(&mut self, line: &Arc<WorkerIdentity>) -> u32 {
        let (local_id, is_new) = self.id(&line.defined_in);
        if is_new {
            let (origin, address, worker) = (line.origin.0, &*line.address, &*line.worker);
            self.put(&Record::Identity(IdentityDefinition { local_id, origin, address, worker }));
            self.defined.push(Defined::Identity(Arc::clone(line)));
        }
        local_id
    }

    pub(crate) fn template(&mut self, template: &Arc<Template>) -> u32 {
        let (local_id, is_new) = self.id(&template.defined_in);
        if is_new {
            self.put(&Record::Template(TemplateDefinition {
                local_id,
                header_base: template.header_base.as_bytes(),
                target: template.network_target.as_bytes(),
                reward: template.reward,
                fetched_at: template.fetched_at,
                daemon_id: template.daemon_id.as_deref().unwrap_or(""),
                reward_address: &template.reward_address,
                block: template.block.get(),
            }));
            self.defined.push(Defined::Template(Arc::clone(template)));
        }
        local_id
    }

    pub(crate) fn share(&mut self, share: &NewShare) {
        let (line, template) = (self.line(&share.line), self.template(&share.template));
        let flags = (u8::from(share.verified) * VERIFIED) | (u8::from(share.claims_block) * CLAIMS_BLOCK);
        self.put(&Record::Share(Share {
            line,
            template,
            nonce: share.nonce,
            difficulty: share.difficulty,
            received_at: share.received_at,
            minute: self.minute,
            flags,
        }));
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Verdict { share, minute, line, difficulty, verdict } => {
                let verdict = match verdict {
                    Verdict::Verified => FOUND_TRUE,
                    Verdict::Rejected => 1,
                    Verdict::Voided => 2,
                };
                let (share, minute, line, difficulty) = (*share, *minute, self.line(line), *difficulty);
                self.put(&Record::Verdict(VerdictRecord { share, minute, line, difficulty, verdict }));
            }
            Event::Candidate { share, line, template, nonce, received_at } => {
                let (line, template) = (self.line(line), self.template(template));
                let (share, nonce, received_at) = (*share, *nonce, *received_at);
                self.put(&Record::Candidate(CandidateRecord { share, line, template, nonce, received_at }));
            }
            Event::Rejects { line, reason, minute, count } => {
                let (line, minute, count) = (self.line(line), *minute, *count);
                self.put(&Record::Rejects(RejectsRecord { line, minute, count, reason }));
            }
        }
    }

    /// Puts records in again that were set aside: `body` is what was kept of them in row `row`. Their shares are booked
    /// to the minute of this commit, and what they refer to is defined anew.
    pub(crate) fn retried(&mut self, row: i64, body: &[u8]) {
        let (first, minute) = (self.next, self.minute);
        let (mut was, mut count, mut inner) = (None, 0, Vec::with_capacity(body.len()));
        // Ids of the kept bytes, and those of this file. The same definition may come more than once.
        let (mut ids, mut defined) = (HashMap::<(bool, u32), u32>::new(), HashMap::<Vec<u8>, u32>::new());
        for record in frames(body) {
            let kept_id = match &record {
                Record::Identity(line) => Some((false, line.local_id)),
                Record::Template(template) => Some((true, template.local_id)),
                _ => None,
            };
            if let Some(kept_id) = kept_id {
                let mut bytes = Vec::new();
                with_ids(&record, 0, 0, minute).encode(self.number, &mut bytes);
                let id = *defined.entry(bytes).or_insert_with(|| {
                    self.at.ids += 1;
                    with_ids(&record, self.at.ids, self.at.ids, minute).encode(self.number, &mut inner);
                    self.at.ids
                });
                ids.insert(kept_id, id);
                continue;
            }
            if let Record::At(seq) = &record {
                was.get_or_insert(*seq);
            }
            let id = |is_template, local_id| ids.get(&(is_template, local_id)).copied().unwrap_or(0);
            let (line, template) = match &record {
                Record::Share(share) => (share.line, share.template),
                Record::Candidate(candidate) => (candidate.line, candidate.template),
                Record::Verdict(verdict) => (verdict.line, 0),
                Record::Rejects(rejects) => (rejects.line, 0),
                _ => (0, 0),
            };
            count += u32::from(record.is_positioned());
            with_ids(&record, id(false, line), id(true, template), minute).encode(self.number, &mut inner);
        }
        let was = was.unwrap_or(first);
        self.put(&Record::Retried(Retried { row, was, first, minute, count, frames: &inner }));
        self.next = self.next.plus(u64::from(count));
    }
}

/// The record with other local ids, and its work booked to another minute.
fn with_ids<'a>(record: &Record<'a>, line: u32, template: u32, minute: Minute) -> Record<'a> {
    match record.clone() {
        Record::Identity(definition) => Record::Identity(IdentityDefinition { local_id: line, ..definition }),
        Record::Template(definition) => Record::Template(TemplateDefinition { local_id: template, ..definition }),
        Record::Share(share) => Record::Share(Share { line, template, minute, ..share }),
        Record::Candidate(candidate) => Record::Candidate(CandidateRecord { line, template, ..candidate }),
        // Where the share is now, the fold knows.
        Record::Verdict(verdict) => Record::Verdict(VerdictRecord { line, ..verdict }),
        Record::Rejects(rejects) => Record::Rejects(RejectsRecord { line, minute, ..rejects }),
        other => other,
    }
}
