//! Which records of the log are to be booked as they stand, where records come again that were set aside.
//!
//! What is said about a share that came again goes to where it is now. Records that come again although the database does
//! not know that they were set aside are passed over: they were booked where they were before.
use std::collections::HashMap;

use store::fold::Retried;
use store::set_aside::AsideRow;
use store::{Store, StoreError};
use units::{HostId, Minute, Seq};

use crate::aside::positions;
use crate::step::Sorted;
use share_log::record::{self, CandidateRecord, Record, VerdictRecord};

/// Records that come again, while they do.
#[derive(Debug, Clone, Copy)]
struct Group {
    left: u32,
    is_known: bool,
}

/// State between two records of a log.
#[derive(Default)]
pub(crate) struct Intake {
    group: Option<Group>,
    /// Where the next record was.
    was: Option<Seq>,
    /// Shares that came again in steps that are not written yet.
    moved: HashMap<Seq, (Seq, Minute)>,
}

/// Where a share is.
enum Whereabouts {
    /// Where it always was.
    Here,
    /// In the log again.
    Moved(Seq, Minute),
    /// Set aside, and to be tried again.
    Aside(i64),
}

/// Asks the database.
pub(crate) struct Asker<'a> {
    pub(crate) store: &'a Store,
    pub(crate) host: HostId,
    pub(crate) runtime: &'a tokio::runtime::Runtime,
    /// Between which positions it has anything to say.
    pub(crate) released: Option<(Seq, Seq)>,
}

impl Asker<'_> {
    fn row(&self, row: i64) -> Result<Option<AsideRow>, StoreError> {
        self.runtime.block_on(self.store.set_aside_row(self.host, row))
    }

    /// One step on the way of a share that may have come again more than once.
    fn step(&self, share: Seq) -> Result<Whereabouts, StoreError> {
        if self.released.is_none_or(|(first, last)| share < first || share > last) {
            return Ok(Whereabouts::Here);
        }
        for row in self.runtime.block_on(self.store.set_aside_around(self.host, share))? {
            let Some(place) = positions(&row.body).position(|was| was == share) else { continue };
            return Ok(match row.retried {
                Some((first, minute)) => Whereabouts::Moved(first.plus(place as u64), minute),
                None => Whereabouts::Aside(row.item),
            });
        }
        Ok(Whereabouts::Here)
    }
}

impl Intake {
    /// What is to be done with the next record; `folded` is the position that the database has.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub(crate) fn sort<'a>(
        &mut self,
        seq: Option<Seq>,
        record: Record<'a>,
        folded: Seq,
        asker: &Asker<'_>,
    ) -> Result<Sorted<'a>, StoreError> {
        let Some(seq) = seq else { return self.sort_unpositioned(record, folded, asker) };
        let was = self.was.take();
        if let Some(group) = &mut self.group {
            let Group { left, is_known } = *group;
            group.left = left.saturating_sub(1);
            if group.left == 0 {
                self.group = None;
            }
            if !is_known {
                return Ok(Sorted::Skip);
            }
            if let (Some(was), Record::Share(share)) = (was, &record) {
                self.moved.insert(was, (seq, share.minute));
            }
        }
        if seq <= folded || (self.moved.is_empty() && asker.released.is_none()) {
            return Ok(Sorted::Book(record));
        }
        match record {
            Record::Verdict(verdict) => self.verdict(verdict, asker),
            Record::Candidate(candidate) => self.candidate(candidate, asker),
            record => Ok(Sorted::Book(record)),
        }
    }

    fn sort_unpositioned<'a>(
        &mut self,
        record: Record<'a>,
        folded: Seq,
        asker: &Asker<'_>,
    ) -> Result<Sorted<'a>, StoreError> {
        match record {
            Record::Retried(retried) => self.begin(&retried, folded, asker),
            Record::At(was) => {
                self.was = Some(was);
                Ok(Sorted::Book(record))
            }
            record => Ok(Sorted::Book(record)),
        }
    }

    fn begin<'a>(
        &mut self,
        retried: &record::Retried<'_>,
        folded: Seq,
        asker: &Asker<'_>,
    ) -> Result<Sorted<'a>, StoreError> {
        let record::Retried { row, was, first, minute, count, .. } = *retried;
        if count == 0 {
            return Ok(Sorted::Skip);
        }
        let is_over = first.plus(u64::from(count)) <= folded.plus(1);
        let is_known = !is_over
            && asker.row(row)?.is_some_and(|stored| {
                let is_same = stored.first == was && stored.records == u64::from(count);
                is_same && stored.retried.is_none_or(|(at, _)| at == first)
            });
        self.group = Some(Group { left: count, is_known: is_known || is_over });
        let is_new = is_known && first > folded;
        Ok(if is_new { Sorted::Retried(Retried { row, first, minute }) } else { Sorted::Skip })
    }

    fn verdict<'a>(&self, verdict: VerdictRecord, asker: &Asker<'_>) -> Result<Sorted<'a>, StoreError> {
        Ok(match self.find(verdict.share, asker)? {
            Whereabouts::Here => Sorted::Book(Record::Verdict(verdict)),
            Whereabouts::Moved(share, minute) => {
                Sorted::Book(Record::Verdict(VerdictRecord { share, minute, ..verdict }))
            }
            Whereabouts::Aside(item) => Sorted::Follow(item, Record::Verdict(verdict)),
        })
    }

    fn candidate<'a>(&self, candidate: CandidateRecord, asker: &Asker<'_>) -> Result<Sorted<'a>, StoreError> {
        Ok(match self.find(candidate.share, asker)? {
            Whereabouts::Here => Sorted::Book(Record::Candidate(candidate)),
            Whereabouts::Moved(share, _) => Sorted::Book(Record::Candidate(CandidateRecord { share, ..candidate })),
            Whereabouts::Aside(item) => Sorted::Follow(item, Record::Candidate(candidate)),
        })
    }

    /// Positions only grow on the way.
    fn find(&self, share: Seq, asker: &Asker<'_>) -> Result<Whereabouts, StoreError> {
        let mut place = Whereabouts::Here;
        let mut at = share;
        loop {
            let step = match self.moved.get(&at) {
                Some((seq, minute)) => Whereabouts::Moved(*seq, *minute),
                None => asker.step(at)?,
            };
            match step {
                Whereabouts::Here => return Ok(place),
                Whereabouts::Moved(seq, _) if seq > at => at = seq,
                Whereabouts::Moved(..) => return Ok(place),
                Whereabouts::Aside(_) => return Ok(step),
            }
            place = step;
        }
    }

    /// What came so far is written: the database knows it.
    pub(crate) fn written(&mut self) {
        self.moved.clear();
    }
}
