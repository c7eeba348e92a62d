//! One step of the fold: records of the log as rows of the tables. No I/O.
use std::collections::HashMap;
use std::time::Duration;

use chain::HeaderBase;
use store::batch::{ShareBatch, StoredShare};
use store::fold::{
    Aside, BatchRow, CandidateRow, FoldStep, IdentityKey, ItemRef, RejectRow, Retried, SegmentDelta, TemplateRow,
    VerdictRow,
};
use units::{Difficulty, HostId, Minute, PolicyId, Seq, Timestamp, Work};

use crate::aside::{AsideWriter, KnownAside};
use crate::definitions::{Definitions, RecordError, template_row};
use share_log::record::{CandidateRecord, Record, Share};

/// Names of verdicts, by their number in the log.
pub(crate) const VERDICTS: [&str; 3] = ["verified", "rejected", "voided"];

/// Most records of one step: bounds the transaction and the memory.
pub(crate) const RECORDS_PER_STEP: u64 = 50_000;

/// What is to be done with a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sorted<'a> {
    /// To be booked, unless what it refers to is set aside.
    Book(Record<'a>),
    /// Follows what is set aside already, by the item's number.
    Follow(i64, Record<'a>),
    /// Its position is passed, and that is all.
    Skip,
    /// Records that were set aside come again.
    Retried(Retried),
}

/// Collects records into one step.
pub(crate) struct StepBuilder {
    from: Seq,
    to: Seq,
    minute: Minute,
    lines: Indexed<u32, IdentityKey>,
    templates: Indexed<u32, TemplateRow>,
    shares: Vec<StoredShare>,
    segments: Vec<SegmentDelta>,
    open: HashMap<(usize, Minute), usize>,
    verdicts: Vec<VerdictRow>,
    rejects: Vec<RejectRow>,
    candidate: Option<CandidateRow>,
    aside: AsideWriter,
    retried: Vec<Retried>,
    booked: u64,
    /// Of files before this one.
    earlier_templates: Vec<TemplateRow>,
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
    /// A step behind `from`; no share was booked to a later minute than `minute` so far.
    pub(crate) fn new(from: Seq, minute: Minute) -> StepBuilder {
        StepBuilder {
            from,
            to: from,
            minute,
            lines: Indexed::new(),
            templates: Indexed::new(),
            shares: Vec::new(),
            segments: Vec::new(),
            open: HashMap::new(),
            verdicts: Vec::new(),
            rejects: Vec::new(),
            candidate: None,
            aside: AsideWriter::default(),
            retried: Vec::new(),
            booked: 0,
            earlier_templates: Vec::new(),
        }
    }

    /// Local ids mean something else from now on. Only where it has booked nothing.
    pub(crate) fn next_file(&mut self) {
        self.earlier_templates.append(&mut self.templates.values);
        self.templates = Indexed::new();
        self.aside.next_file();
    }

    /// Records that it books.
    pub(crate) fn booked(&self) -> u64 {
        self.booked
    }

    /// Records that it sets aside.
    pub(crate) fn set_aside(&self) -> u64 {
        self.aside.records()
    }

    /// Whether it ends with a candidate.
    pub(crate) fn has_candidate(&self) -> bool {
        self.candidate.is_some()
    }

    /// Whether records come in that were set aside before.
    pub(crate) fn has_retried(&self) -> bool {
        !self.retried.is_empty()
    }

    /// Position of its last record.
    pub(crate) fn to(&self) -> Seq {
        self.to
    }

    /// The latest minute that a share up to here was booked to.
    pub(crate) fn minute(&self) -> Minute {
        self.minute
    }

    pub(crate) fn is_full(&self) -> bool {
        self.candidate.is_some() || self.to.0 - self.from.0 >= RECORDS_PER_STEP
    }

    /// Takes the next record. One that was folded earlier only says what time it is.
    ///
    /// # Errors
    /// What is wrong with a record that cannot be attributed: it is not taken.
    pub(crate) fn take(
        &mut self,
        seq: Option<Seq>,
        sorted: &Sorted<'_>,
        known: &mut Definitions,
        aside: &KnownAside,
    ) -> Result<(), RecordError> {
        if let Sorted::Book(Record::Share(share)) | Sorted::Follow(_, Record::Share(share)) = sorted {
            self.minute = self.minute.max(share.minute);
        }
        match (seq, sorted) {
            (Some(seq), _) if seq <= self.from => {}
            (Some(seq), Sorted::Skip | Sorted::Retried(_)) => self.to = seq,
            (Some(seq), Sorted::Follow(item, record)) => {
                self.aside.put(&ItemRef::Known(*item), seq, record, known)?;
                self.to = seq;
            }
            (Some(seq), Sorted::Book(record)) => {
                match aside.item_of(seq, record, known) {
                    Some(item) => self.aside.put(&item, seq, record, known)?,
                    None => self.positioned(seq, record, known)?,
                }
                self.to = seq;
            }
            (None, Sorted::Retried(retried)) if retried.first > self.from => self.retried.push(*retried),
            (None, Sorted::Book(Record::Identity(line))) => known.line(line),
            (None, Sorted::Book(Record::Template(template))) => {
                let row = template_row(template);
                let local_id = known.template(template.local_id, &row);
                // Known to the database from now on, used or not: a block on it can be recognised.
                self.templates.place(local_id, || Some(row));
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn positioned(&mut self, seq: Seq, record: &Record<'_>, known: &Definitions) -> Result<(), RecordError> {
        self.booked += 1;
        match record {
            Record::Share(share) => self.share(seq, share, known)?,
            Record::Verdict(verdict) => {
                let line = self.line(verdict.line, known)?;
                self.verdicts.push(VerdictRow {
                    line,
                    share_seq: verdict.share,
                    minute: verdict.minute,
                    difficulty: verdict.difficulty,
                    verdict: VERDICTS[usize::from(verdict.verdict.min(2))],
                    seq,
                });
            }
            Record::Candidate(candidate) => self.candidate(candidate, known)?,
            Record::Rejects(rejects) => {
                let line = self.line(rejects.line, known)?;
                let (reason, count) = (rejects.reason.to_owned(), u64::from(rejects.count));
                self.rejects.push(RejectRow { line, minute: rejects.minute, reason, count });
            }
            Record::Commit { .. } | Record::Identity(_) | Record::Template(_) | Record::Retried(_) | Record::At(_) => {}
        }
        Ok(())
    }

    fn line(&mut self, local_id: u32, known: &Definitions) -> Result<usize, RecordError> {
        let first = known.first_line(local_id);
        let place = self.lines.place(first, || known.find_line(local_id).cloned());
        place.ok_or(RecordError::UndefinedLine(local_id))
    }

    fn template(&mut self, local_id: u32, known: &Definitions) -> Result<usize, RecordError> {
        let first = known.first_template(local_id);
        let place = self.templates.place(first, || known.find_template(local_id).cloned());
        place.ok_or(RecordError::UndefinedTemplate(local_id))
    }

    fn share(&mut self, seq: Seq, share: &Share, known: &Definitions) -> Result<(), RecordError> {
        let (line, template) = (self.line(share.line, known)?, self.template(share.template, known)?);
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
        if share.flags & share_log::record::VERIFIED != 0 {
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
        Ok(())
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

    fn candidate(&mut self, candidate: &CandidateRecord, known: &Definitions) -> Result<(), RecordError> {
        let (line, template) = (self.line(candidate.line, known)?, self.template(candidate.template, known)?);
        let header = <[u8; 92]>::try_from(self.templates.values[template].header_base.as_slice());
        let header = header.map_err(|_| RecordError::HeaderLength)?;
        // Files of the first format do not say it before their first share.
        let booked_until = match self.minute {
            Minute(0) => candidate.received_at,
            Minute(latest) => Minute(latest.saturating_add(1)).start(),
        };
        self.candidate = Some(CandidateRow {
            line,
            template,
            hash: HeaderBase::from_bytes(header).block_id(candidate.nonce).to_string(),
            nonce: candidate.nonce.get().cast_signed(),
            share_seq: candidate.share,
            found_at: candidate.received_at,
            booked_until,
        });
        Ok(())
    }

    /// `None` when it would change nothing.
    pub(crate) fn build(mut self, host: HostId, policy: PolicyId, window: Duration, at: Timestamp) -> Option<FoldStep> {
        let batch = self.batch();
        // Behind those that the others refer to by their place.
        self.templates.values.append(&mut self.earlier_templates);
        if self.to == self.from && self.templates.values.is_empty() && self.retried.is_empty() {
            return None;
        }
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
            aside: Aside { records: self.aside.finish(), retried: self.retried },
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
