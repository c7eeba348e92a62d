//! Records that the database refuses, beside those that it takes: which they are, and the bytes that are kept of them.
//!
//! The bytes are frames as in the log, of file 0: each record behind its position, and behind the definitions that it
//! refers to. A template's definition is kept without its block, which is many times as long as all shares of it: what is
//! tried again is booked, and its block was submitted long ago.
use std::collections::HashMap;

use chain::Target;
use store::fold::{AsideRecords, IdentityKey, ItemRef, NewItem, TemplateRow};
use store::set_aside::{AsideState, OpenItem};
use units::Seq;

use crate::definitions::{Definitions, RecordError};
use share_log::record::{IdentityDefinition, Record, TemplateDefinition};
use share_log::{Frame, frame};

/// Items that are set aside at most, of one host: with this many refused it is the database that is at fault.
pub(crate) const ITEMS_MAX: usize = 100;
/// Records that are set aside at most, of one host: bounds the table.
pub(crate) const RECORDS_MAX: u64 = 1_000_000;
/// The file that kept frames belong to.
pub(crate) const NO_FILE: u64 = 0;

/// What is set aside of the host's log.
#[derive(Default)]
pub(crate) struct KnownAside {
    /// Lines whose records follow them.
    lines: HashMap<IdentityKey, i64>,
    /// Shares whose verdicts and candidates follow them.
    shares: HashMap<Seq, i64>,
    /// See [`AsideState::released`].
    pub(crate) released: Option<(Seq, Seq)>,
    /// Items that nobody has asked for again: the bound is on these, or one could not get below it.
    pub(crate) unasked: usize,
    /// Items and records that are not in the log again.
    pub(crate) items: usize,
    pub(crate) records: u64,
    /// The oldest of them, for an operator.
    pub(crate) oldest: Option<OpenItem>,
    /// Whether some of it is to be tried again.
    pub(crate) is_wanted: bool,
    /// What the step in the making sets aside.
    fresh: Vec<Fresh>,
}

struct Fresh {
    item: NewItem,
    line: Option<IdentityKey>,
}

impl KnownAside {
    pub(crate) fn of(state: AsideState) -> KnownAside {
        let mut known = KnownAside { released: state.released, items: state.items.len(), ..KnownAside::default() };
        for item in &state.items {
            known.records += item.records;
            known.is_wanted |= item.is_released;
            if item.is_released {
                continue;
            }
            known.unasked += 1;
            match item.kind.as_str() {
                "line" => known.lines.extend(line_of(&item.definition).map(|line| (line, item.id))),
                "share" => drop(known.shares.insert(item.seq, item.id)),
                _ => {}
            }
        }
        known.oldest = state.items.into_iter().next();
        known
    }

    /// What this step sets aside for the first time.
    pub(crate) fn add(&mut self, item: NewItem, line: Option<IdentityKey>) {
        self.fresh.push(Fresh { item, line });
    }

    /// Items that are new.
    pub(crate) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// The item that a record belongs to.
    pub(crate) fn item_of(&self, seq: Seq, record: &Record<'_>, definitions: &Definitions) -> Option<ItemRef> {
        if self.lines.is_empty() && self.shares.is_empty() && self.fresh.is_empty() {
            return None;
        }
        let (line, share) = subject(record)?;
        let line = definitions.find_line(line);
        let share = share.unwrap_or(seq);
        let known = line.and_then(|line| self.lines.get(line)).or_else(|| self.shares.get(&share));
        if let Some(item) = known {
            return Some(ItemRef::Known(*item));
        }
        let is_of = |fresh: &&Fresh| match &fresh.line {
            Some(of) => line == Some(of),
            None => fresh.item.seq == seq || (fresh.item.kind == "share" && fresh.item.seq == share),
        };
        self.fresh.iter().find(is_of).map(|fresh| ItemRef::New(fresh.item.clone()))
    }
}

/// The line that a record is of, and the share that it is about.
pub(crate) fn subject(record: &Record<'_>) -> Option<(u32, Option<Seq>)> {
    match record {
        Record::Share(share) => Some((share.line, None)),
        Record::Verdict(verdict) => Some((verdict.line, Some(verdict.share))),
        Record::Candidate(candidate) => Some((candidate.line, Some(candidate.share))),
        Record::Rejects(rejects) => Some((rejects.line, None)),
        _ => None,
    }
}

/// A line's definition, as it is kept.
pub(crate) fn definition(line: &IdentityKey) -> Vec<u8> {
    let mut out = Vec::new();
    encode_line(1, line, &mut out);
    out
}

fn line_of(definition: &[u8]) -> Option<IdentityKey> {
    match frame(NO_FILE, definition) {
        Frame::Whole(Record::Identity(line), _) => {
            Some(IdentityKey { address: line.address.into(), worker: line.worker.into(), origin: line.origin })
        }
        _ => None,
    }
}

fn encode_line(local_id: u32, line: &IdentityKey, out: &mut Vec<u8>) {
    let IdentityKey { address, worker, origin } = line;
    Record::Identity(IdentityDefinition { local_id, origin: *origin, address, worker }).encode(NO_FILE, out);
}

fn encode_template(local_id: u32, template: &TemplateRow, out: &mut Vec<u8>) -> Option<()> {
    let header_base: &[u8; 92] = template.header_base.as_slice().try_into().ok()?;
    let target = Target::from_difficulty(template.difficulty);
    let record = Record::Template(TemplateDefinition {
        local_id,
        header_base,
        target: target.as_bytes(),
        reward: template.reward,
        fetched_at: template.seen_at,
        daemon_id: "",
        reward_address: "",
        block: "",
    });
    record.encode(NO_FILE, out);
    Some(())
}

/// Collects what a step sets aside.
#[derive(Default)]
pub(crate) struct AsideWriter(Vec<Collected>);

struct Collected {
    records: AsideRecords,
    /// Local ids that are defined in the bytes.
    lines: Vec<u32>,
    templates: Vec<u32>,
}

impl AsideWriter {
    pub(crate) fn records(&self) -> u64 {
        self.0.iter().map(|collected| collected.records.records).sum()
    }

    /// Sets a record aside, as a part of that item.
    ///
    /// # Errors
    /// When it refers to what its file does not define.
    pub(crate) fn put(
        &mut self,
        item: &ItemRef,
        seq: Seq,
        record: &Record<'_>,
        known: &Definitions,
    ) -> Result<(), RecordError> {
        let place = match self.0.iter().position(|collected| collected.records.item == *item) {
            Some(place) => place,
            None => {
                let records = AsideRecords { item: item.clone(), first: seq, last: seq, records: 0, body: Vec::new() };
                self.0.push(Collected { records, lines: Vec::new(), templates: Vec::new() });
                self.0.len() - 1
            }
        };
        let Collected { records, lines, templates } = &mut self.0[place];
        if let Some((local_id, _)) = subject(record)
            && !lines.contains(&local_id)
        {
            let line = known.find_line(local_id);
            let line = line.ok_or(RecordError::UndefinedLine(local_id))?;
            encode_line(local_id, line, &mut records.body);
            lines.push(local_id);
        }
        if let Record::Share(share_log::record::Share { template, .. })
        | Record::Candidate(share_log::record::CandidateRecord { template, .. }) = record
            && !templates.contains(template)
        {
            let row = known.find_template(*template);
            row.and_then(|row| encode_template(*template, row, &mut records.body))
                .ok_or(RecordError::UndefinedTemplate(*template))?;
            templates.push(*template);
        }
        Record::At(seq).encode(NO_FILE, &mut records.body);
        record.encode(NO_FILE, &mut records.body);
        records.last = seq;
        records.records += 1;
        Ok(())
    }

    /// Local ids mean something else from now on.
    pub(crate) fn next_file(&mut self) {
        for collected in &mut self.0 {
            collected.lines.clear();
            collected.templates.clear();
        }
    }

    pub(crate) fn finish(self) -> Vec<AsideRecords> {
        self.0.into_iter().map(|collected| collected.records).collect()
    }
}

/// The records in kept bytes. What is no frame ends them.
pub(crate) fn frames(body: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || match frame(NO_FILE, &body[at..]) {
        Frame::Whole(record, taken) => {
            at += taken;
            Some(record)
        }
        Frame::End | Frame::Broken => None,
    })
}

/// Where the records in kept bytes were.
pub(crate) fn positions(body: &[u8]) -> impl Iterator<Item = Seq> + '_ {
    frames(body).filter_map(|record| match record {
        Record::At(seq) => Some(seq),
        _ => None,
    })
}
