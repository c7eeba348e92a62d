//! A step that the database refuses: which record is at fault, and how the others go in.
//!
//! The step is halved, and each half is a transaction of its own, until a record fails alone. If its line cannot be
//! stored either, that is what is set aside, with all records of the line. Nothing is set aside unless another record,
//! before it in the step or anywhere behind it, goes in: if none does, the fault is the database's, and the fold stops. So
//! it does for a template, since a block that is made of it must be recognised, and for whatever is no matter of data.
//!
//! A candidate that is set aside is still found when its block is on the chain, as a block without finder.
use std::ops::Range;

use store::StoreError;
use store::fold::{Aside, FoldStep, IdentityKey, NewItem, Retried, TemplateRow};
use tokio::runtime::Runtime;
use tracing::warn;
use units::{PolicyId, Seq};

use super::{Fold, FoldCursor, FoldError, unanswered};
use crate::aside::{ITEMS_MAX, KnownAside, NO_FILE, RECORDS_MAX, definition, subject};
use crate::definitions::Definitions;
use crate::intake::Asker;
use crate::step::{RECORDS_PER_STEP, Sorted, StepBuilder};
use share_log::Step;
use share_log::record::{Record, TemplateDefinition};
use share_log::{Frame, frame};

/// A record of the step, kept for many tries.
struct Entry {
    seq: Option<Seq>,
    what: What,
    /// Index into [`Entries::files`].
    file: usize,
    bytes: Range<usize>,
}

/// See [`Sorted`].
enum What {
    Book,
    Follow(i64),
    Skip,
    Retried(Retried),
}

/// The records of the step.
#[derive(Default)]
struct Entries {
    all: Vec<Entry>,
    frames: Vec<u8>,
    files: Vec<LogPart>,
}

/// What holds in one file.
struct LogPart {
    definitions: Definitions,
    policy: PolicyId,
}

struct Isolation<'a> {
    fold: &'a Fold,
    runtime: &'a Runtime,
    place: FoldCursor,
    entries: Entries,
    /// So many are written.
    done: usize,
    /// Whether any of them was booked.
    went_in: bool,
    /// What the database said first.
    first: Option<StoreError>,
}

impl Fold {
    /// Writes the records up to `to`, in as many transactions as it takes; where the fold is then.
    pub(super) fn isolate(&self, runtime: &Runtime, aside: KnownAside, to: Seq) -> Result<FoldCursor, FoldError> {
        let Some(mut place) = self.find_place(runtime)? else {
            let what = "records that the database refused".to_owned();
            return Err(unanswered(to, StoreError::Conflict { what }));
        };
        place.aside = aside;
        let policy = self.policy_of(runtime, &place)?;
        let files = vec![LogPart { definitions: Definitions::new(self.network), policy }];
        let entries = Entries { files, ..Entries::default() };
        let (done, went_in, first) = (0, false, None);
        let mut isolation = Isolation { fold: self, runtime, place, entries, done, went_in, first };
        isolation.read(Some(to))?;
        isolation.part(0, isolation.entries.all.len())?;
        isolation.finish()
    }
}

impl Entries {
    fn push(&mut self, seq: Option<Seq>, sorted: &Sorted<'_>, folded: Seq) {
        let start = self.frames.len();
        let what = match (seq, sorted) {
            (Some(seq), _) if seq <= folded => return,
            (None, Sorted::Book(Record::Template(template))) => {
                // The block is of no use here, and long.
                let short = TemplateDefinition { block: "", ..template.clone() };
                Record::Template(short).encode(NO_FILE, &mut self.frames);
                What::Book
            }
            (None, Sorted::Retried(retried)) => What::Retried(*retried),
            (None, _) => return,
            (Some(_), Sorted::Book(record)) => {
                record.encode(NO_FILE, &mut self.frames);
                What::Book
            }
            (Some(_), Sorted::Follow(item, record)) => {
                record.encode(NO_FILE, &mut self.frames);
                What::Follow(*item)
            }
            (Some(_), Sorted::Skip | Sorted::Retried(_)) => What::Skip,
        };
        self.all.push(Entry { seq, what, file: self.files.len() - 1, bytes: start..self.frames.len() });
    }

    /// Ends before the mark of records that come again, where it would be written without the first of them.
    fn without_open_end(&self, start: usize, end: usize) -> usize {
        let unpositioned = self.all[start..end].iter().rev().take_while(|entry| entry.seq.is_none()).count();
        let is_mark = |entry: &Entry| matches!(entry.what, What::Retried(_));
        let tail = end - unpositioned;
        self.all[tail..end].iter().position(is_mark).map_or(end, |place| tail + place)
    }
}

fn record<'a>(entry: &Entry, frames: &'a [u8]) -> Option<Record<'a>> {
    match frame(NO_FILE, &frames[entry.bytes.clone()]) {
        Frame::Whole(record, _) => Some(record),
        Frame::End | Frame::Broken => None,
    }
}

fn sorted<'a>(entry: &Entry, frames: &'a [u8]) -> Sorted<'a> {
    match (&entry.what, record(entry, frames)) {
        (What::Book, Some(record)) => Sorted::Book(record),
        (What::Follow(item), Some(record)) => Sorted::Follow(*item, record),
        (What::Retried(retried), _) => Sorted::Retried(*retried),
        _ => Sorted::Skip,
    }
}

impl Isolation<'_> {
    /// Reads on, up to that record, or as much as a step may have; whether there was anything.
    fn read(&mut self, to: Option<Seq>) -> Result<bool, FoldError> {
        let durable = self.fold.progress.durable();
        let FoldCursor { reader, folded, minute, intake, aside, .. } = &mut self.place;
        let (folded, before) = (*folded, self.entries.all.len());
        let (store, host, runtime) = (&self.fold.store, self.fold.host, self.runtime);
        let asker = Asker { store, host, runtime, released: aside.released };
        while ((self.entries.all.len() - before) as u64) < RECORDS_PER_STEP {
            let (seq, record) = match reader.next(durable)? {
                Step::Record(seq, record) => (seq, record),
                Step::End if to.is_none() => break,
                Step::End => return Err(reader.damage("a record that was there is not there any more").into()),
                Step::NewFile => {
                    *minute = (*minute).max(reader.head().minute);
                    let policy = reader.head().policy.unwrap_or(self.fold.policy);
                    self.entries.files.push(LogPart { definitions: Definitions::new(self.fold.network), policy });
                    continue;
                }
            };
            if let Record::Share(share) = &record
                && seq.is_some_and(|seq| seq <= folded)
            {
                *minute = (*minute).max(share.minute);
            }
            let sorted = intake.sort(seq, record, folded, &asker).map_err(|source| unanswered(folded, source))?;
            if let (None, Sorted::Book(record), Some(file)) = (seq, &sorted, self.entries.files.last_mut()) {
                file.definitions.note(record);
            }
            self.entries.push(seq, &sorted, folded);
            if to.is_some() && seq == to {
                break;
            }
        }
        Ok(self.entries.all.len() > before)
    }

    /// Writes everything up to `end`; what is before `start` went in, or is at fault.
    fn part(&mut self, start: usize, end: usize) -> Result<(), FoldError> {
        match self.attempt(end) {
            Err(error) if error.is_refusal() && end - start > 1 => {
                let middle = start + (end - start) / 2;
                self.part(start, middle)?;
                self.part(middle, end)
            }
            Err(FoldError::Store { source, .. }) if source.refusal().is_some() => self.at_fault(start, source),
            outcome => outcome,
        }
    }

    /// Tries all that is not written up to `end`. Nothing is written while all of it would be set aside and nothing went
    /// in so far.
    fn attempt(&mut self, end: usize) -> Result<(), FoldError> {
        let end = self.entries.without_open_end(self.done, end);
        while self.done < end {
            let FoldCursor { reader, folded, minute, aside, .. } = &mut self.place;
            let mut step = StepBuilder::new(*folded, *minute);
            let mut next = self.done;
            let mut file = self.entries.all[next].file;
            // A window ends with its candidate, and so does the step.
            while next < end && !step.has_candidate() {
                let entry = &self.entries.all[next];
                if entry.file != file {
                    if step.booked() > 0 {
                        break;
                    }
                    step.next_file();
                    file = entry.file;
                }
                let (seq, sorted) = (entry.seq, sorted(entry, &self.entries.frames));
                let taken = step.take(seq, &sorted, &mut self.entries.files[file].definitions, aside);
                taken.map_err(|why| reader.damage(&why.to_string()))?;
                next += 1;
            }
            let (booked, fresh) = (step.booked(), aside.fresh());
            if fresh > 0 && booked == 0 && !self.went_in {
                return Ok(());
            }
            let policy = self.entries.files[file].policy;
            self.fold.write(self.runtime, &mut self.place, step, policy)?;
            self.done = next;
            self.went_in |= booked > 0;
            if fresh > 0 {
                warn!(items = fresh, "share log records set aside: the database refuses them");
            }
        }
        Ok(())
    }

    /// The record at `index` failed alone.
    fn at_fault(&mut self, index: usize, source: StoreError) -> Result<(), FoldError> {
        let folded = self.place.folded;
        let entry = &self.entries.all[index];
        let LogPart { definitions, policy } = &self.entries.files[entry.file];
        let (Some(seq), What::Book, Some(record)) = (entry.seq, &entry.what, record(entry, &self.entries.frames))
        else {
            return Err(FoldError::Store { from: folded, to: folded, source });
        };
        let held = |source| FoldError::Store { from: folded, to: seq, source };
        if self.place.aside.item_of(seq, &record, definitions).is_some() {
            return Err(held(source)); // It would be set aside, and that failed.
        }
        let (kind, template) = match &record {
            Record::Share(share) => ("share", definitions.find_template(share.template)),
            Record::Candidate(candidate) => ("candidate", definitions.find_template(candidate.template)),
            Record::Verdict(_) => ("verdict", None),
            Record::Rejects(_) => ("rejects", None),
            _ => return Err(held(source)),
        };
        if let Some(refusal) = template.map(|row| self.probe(*policy, None, Some(row))).transpose()?.flatten() {
            return Err(held(refusal));
        }
        let line = subject(&record).and_then(|(line, _)| definitions.find_line(line));
        let refusal = line.map(|line| self.probe(*policy, Some(line), None)).transpose()?.flatten();
        let line = line.filter(|_| refusal.is_some()).cloned();
        let count = self.place.aside.unasked + self.place.aside.fresh();
        if count + 1 >= ITEMS_MAX {
            let what = format!("{count} refused records");
            return Err(FoldError::TooMuchAside { at: seq, what, source: Some(refusal.unwrap_or(source)) });
        }
        let why = refusal.as_ref().unwrap_or(&source).to_string();
        let (kind, bytes) = line.as_ref().map_or((kind, Vec::new()), |line| ("line", definition(line)));
        self.place.aside.add(NewItem { kind, seq, definition: bytes, why }, line);
        self.first.get_or_insert(source);
        Ok(())
    }

    /// What the database says of a definition alone.
    fn probe(
        &self,
        policy: PolicyId,
        line: Option<&IdentityKey>,
        template: Option<&TemplateRow>,
    ) -> Result<Option<StoreError>, FoldError> {
        let folded = self.place.folded;
        let step = FoldStep {
            host: self.fold.host,
            from: folded,
            to: folded,
            lines: line.cloned().into_iter().collect(),
            templates: template.cloned().into_iter().collect(),
            batch: None,
            segments: Vec::new(),
            verdicts: Vec::new(),
            rejects: Vec::new(),
            candidate: None,
            aside: Aside::default(),
            policy,
            window: self.fold.window,
            at: (self.fold.clock)(),
        };
        match self.runtime.block_on(self.fold.store.fold(step)) {
            Ok(()) => Ok(None),
            Err(error) if error.refusal().is_some() => Ok(Some(error)),
            Err(error) => Err(unanswered(folded, error)),
        }
    }

    /// The last ones may be at fault. What tells is then before them, or in what follows the step.
    fn finish(mut self) -> Result<FoldCursor, FoldError> {
        loop {
            let count = self.entries.all.len();
            if self.went_in {
                self.attempt(count)?;
            }
            if self.done == count {
                let file = self.entries.files.pop();
                self.place.definitions =
                    file.map_or_else(|| Definitions::new(self.fold.network), |file| file.definitions);
                return Ok(self.place);
            }
            if count as u64 > RECORDS_MAX || !self.read(None)? {
                let from = self.place.folded;
                let unsaid = || StoreError::Conflict { what: "a refused record".to_owned() };
                let source = self.first.take().unwrap_or_else(unsaid);
                return Err(FoldError::Store { from, to: from.plus(1), source });
            }
            self.part(count, self.entries.all.len())?;
        }
    }
}

#[cfg(test)]
mod tests;
