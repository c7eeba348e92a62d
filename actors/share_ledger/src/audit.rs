//! The log against the tables, for `meshpool audit`.
//!
//! Of the files that are still stored, every share up to the folded position must be in a batch as the log has it,
//! every verdict must have a row, and every candidate a block. No (template, nonce) may be there twice. What comes after
//! that position is not folded yet: pending, no difference. Nor are old shares and verdicts that were removed from the
//! tables, and records that are set aside: what is said about them follows them.
//!
//! Only reads, and works beside the process that writes: it stops at the last whole record.
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use chain::HeaderBase;
use store::audit::Difference;
use store::batch::{ShareBatch, StoredShare};
use store::fold::IdentityKey;
use store::hosts::LogGap;
use store::retention::Mark;
use store::{Store, StoreError};
use units::{HostId, Minute, Seq};

use crate::step::VERDICTS;
use share_log::record::{CandidateRecord, Record, Share, VERIFIED};
use share_log::{Durable, LogDirectory, LogError};
use share_log::{LogReader, Step};

mod aside;
mod seen;
mod share_facts;

use aside::SetAside;
pub use aside::set_aside_shares;
use seen::RecentNonces;
use share_facts::ShareFacts;

/// Differences that are listed at most.
const LISTED_MAX: usize = 1_000;
/// Batches that are fetched at once.
const BATCHES_PER_PAGE: u32 = 16;
/// Verdicts that are looked up at once.
const VERDICTS_PER_PAGE: usize = 10_000;
const VOIDED: &str = VERDICTS[2];
/// Files of a busy pool may be removed while they are read; then it begins anew.
const TRIES: u32 = 3;

/// What the comparison came to.
#[derive(Debug, Default)]
pub struct LogAudit {
    /// Records that are durable and not folded yet.
    pub pending: u64,
    /// Shares of the log that were compared.
    pub compared: u64,
    /// What does not agree.
    pub differences: Vec<Difference>,
}

/// Why log and tables could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum LogAuditError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Compares the log in `path` with the tables. Nothing is found where there is no log.
///
/// # Errors
/// When a file cannot be read or the database gives no answer. A damaged log is a difference.
pub async fn audit_log(path: &Path, store: &Store) -> Result<LogAudit, LogAuditError> {
    if !path.is_dir() {
        return Ok(LogAudit::default());
    }
    let directory = LogDirectory::open(path)?;
    let Some(name) = directory.stored_host_name()? else { return Ok(LogAudit::default()) };
    let mut tries = 0;
    loop {
        // The position first: whatever it covers is in the log by then.
        let host = store.host_list().await?.into_iter().find(|(_, known, _)| *known == name);
        let Some((host, _, folded)) = host else {
            let mut audit = LogAudit::default();
            audit.add("log's host is in the database", &name, "no", "yes");
            return Ok(audit);
        };
        let Some(readable) = directory.readable()? else { return Ok(LogAudit::default()) };
        let Some(mut reader) = LogReader::open_oldest(&directory)? else { return Ok(LogAudit::default()) };
        let (kept, gaps) = (store.retention_marked(Mark::Details).await?, store.gap_list(host).await?);
        let mut pass = Pass::new(store, host, folded, kept, gaps);
        pass.aside = SetAside::load(store, host).await?;
        match pass.walk(&mut reader, readable).await {
            Ok(()) => return pass.finish(readable).await,
            Err(LogAuditError::Log(LogError::Damaged { path, offset, why })) => {
                let oldest = directory.files()?.first().map(|file| file.number);
                tries += 1;
                if tries < TRIES && oldest.is_none_or(|oldest| oldest > reader.file_number()) {
                    continue;
                }
                pass.audit.add("log can be read", format!("{} at {offset}", path.display()), why, "a record");
                return Ok(pass.audit);
            }
            Err(error) => return Err(error),
        }
    }
}

impl LogAudit {
    fn add(&mut self, check: &'static str, subject: impl ToString, stored: impl ToString, computed: impl ToString) {
        if self.differences.len() < LISTED_MAX {
            let (subject, stored, computed) = (subject.to_string(), stored.to_string(), computed.to_string());
            self.differences.push(Difference { check, subject, stored, computed });
        }
    }
}

/// One walk over the stored files.
struct Pass<'a> {
    store: &'a Store,
    host: HostId,
    folded: Seq,
    /// The tables hold everything from this minute on.
    kept: Minute,
    lines: HashMap<u32, IdentityKey>,
    templates: HashMap<u32, HeaderBase>,
    batches: Batches<'a>,
    /// What was said about shares, by share.
    judged: BTreeMap<Seq, Said>,
    seen: RecentNonces,
    aside: SetAside,
    /// The first record that is still stored.
    oldest: Seq,
    /// What the tables lack, and are known to lack.
    gaps: Vec<LogGap>,
    audit: LogAudit,
}

impl<'a> Pass<'a> {
    fn new(store: &'a Store, host: HostId, folded: Seq, kept: Minute, gaps: Vec<LogGap>) -> Pass<'a> {
        Pass {
            store,
            host,
            folded,
            kept,
            lines: HashMap::new(),
            templates: HashMap::new(),
            batches: Batches { store, host, after: Seq::ZERO, page: Vec::new(), at: 0 },
            judged: BTreeMap::new(),
            seen: RecentNonces::default(),
            aside: SetAside::default(),
            oldest: Seq::ZERO,
            gaps,
            audit: LogAudit::default(),
        }
    }

    async fn walk(&mut self, reader: &mut LogReader, readable: Durable) -> Result<(), LogAuditError> {
        self.oldest = reader.position();
        self.batches.skip_before(self.oldest).await?;
        loop {
            match reader.next(readable)? {
                Step::End => return Ok(()),
                Step::NewFile => {
                    self.lines.clear();
                    self.templates.clear();
                }
                Step::Record(Some(seq), _) if self.is_gone(seq) => {}
                Step::Record(Some(seq), _) if seq > self.folded => self.audit.pending += 1,
                Step::Record(seq, record) if self.aside.passes(seq, &record) => {}
                Step::Record(seq, record) => self.take(seq, &record).await?,
            }
        }
    }

    async fn take(&mut self, seq: Option<Seq>, record: &Record<'_>) -> Result<(), LogAuditError> {
        match (seq, record) {
            (_, Record::Identity(line)) => {
                let key = IdentityKey { address: line.address.into(), worker: line.worker.into(), origin: line.origin };
                self.lines.insert(line.local_id, key);
            }
            (_, Record::Template(template)) => {
                self.templates.insert(template.local_id, HeaderBase::from_bytes(*template.header_base));
            }
            (Some(seq), Record::Share(share)) => {
                if share.flags & VERIFIED != 0 && share.minute >= self.kept {
                    self.say(seq, "verified", seq);
                }
                self.share(seq, share).await?;
            }
            (Some(seq), Record::Verdict(verdict)) => {
                let (share, minute) = self.aside.place(verdict.share, verdict.minute);
                if minute >= self.kept {
                    self.say(share, VERDICTS[usize::from(verdict.verdict.min(2))], seq);
                }
            }
            (_, Record::Candidate(candidate)) => self.candidate(candidate).await?,
            _ => {}
        }
        Ok(())
    }

    fn is_gone(&self, seq: Seq) -> bool {
        self.gaps.iter().any(|gap| gap.has(seq))
    }

    /// Of several verdicts on one share the first counts, but a void replaces any other.
    fn say(&mut self, share: Seq, verdict: &'static str, at: Seq) {
        if self.is_gone(share) {
            return;
        }
        let said = self.judged.entry(share).or_insert(Said { verdict, at });
        if verdict == VOIDED && said.verdict != VOIDED {
            *said = Said { verdict, at };
        }
    }

    async fn share(&mut self, seq: Seq, share: &Share) -> Result<(), LogAuditError> {
        let root = self.templates.get(&share.template).map(HeaderBase::merkle_root);
        if root.is_some_and(|root| !self.seen.is_new(root, share.nonce)) {
            self.audit.add("share is in the log once", seq, "again", "once");
        }
        if share.minute < self.kept {
            self.batches.fill().await?;
            let stored = self.batches.current().is_some_and(|(_, stored)| stored.seq <= seq);
            self.batches.at += usize::from(stored);
            return Ok(());
        }
        self.audit.compared += 1;
        loop {
            self.batches.fill().await?;
            match self.batches.current() {
                Some((_, stored)) if stored.seq < seq => {
                    self.audit.add("stored share is in the log", stored.seq, "a share", "another record");
                    self.batches.at += 1;
                }
                Some((batch, stored)) if stored.seq == seq => {
                    let (log, sql) = (self.told(share), ShareFacts::by_batch(batch, stored));
                    let difference = (log != sql).then(|| (sql.to_string(), log.to_string()));
                    if let Some((sql, log)) = difference {
                        self.audit.add("stored share is as the log has it", seq, sql, log);
                    }
                    self.batches.at += 1;
                    return Ok(());
                }
                _ => {
                    let told = self.told(share).to_string();
                    self.audit.add("share of the log is stored", seq, "no", told);
                    return Ok(());
                }
            }
        }
    }

    /// All that a share says, with what it refers to.
    fn told(&self, share: &Share) -> ShareFacts<'_> {
        let root = self.templates.get(&share.template).map(HeaderBase::merkle_root);
        let Share { nonce, difficulty, received_at, minute, flags, .. } = *share;
        ShareFacts { line: self.lines.get(&share.line), root, nonce, difficulty, received_at, minute, flags }
    }

    async fn candidate(&mut self, candidate: &CandidateRecord) -> Result<(), LogAuditError> {
        let Some(header) = self.templates.get(&candidate.template) else {
            self.audit.add("candidate's template is defined", candidate.share, "no", "yes");
            return Ok(());
        };
        let hash = header.block_id(candidate.nonce).to_string();
        if self.store.block_find(&hash).await?.is_none() {
            self.audit.add("candidate of the log is a block", hash, "no", "yes");
        }
        Ok(())
    }

    async fn finish(mut self, readable: Durable) -> Result<LogAudit, LogAuditError> {
        if readable.seq < self.folded {
            self.audit.add("log reaches as far as the database", self.host, self.folded, readable.seq);
        }
        loop {
            self.batches.fill().await?;
            // Later ones were folded after this look began.
            let Some((_, stored)) = self.batches.current().filter(|(_, stored)| stored.seq <= self.folded) else {
                break;
            };
            self.audit.add("stored share is in the log", stored.seq, "a share", "no record");
            self.batches.at += 1;
        }
        let judged: Vec<(Seq, Said)> = std::mem::take(&mut self.judged).into_iter().collect();
        for page in judged.chunks(VERDICTS_PER_PAGE) {
            let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) else { continue };
            let stored = self.store.verdict_list(self.host, *first, *last).await?;
            self.compare_verdicts(page, &stored);
        }
        Ok(self.audit)
    }

    fn compare_verdicts(&mut self, page: &[(Seq, Said)], stored: &[(Seq, String, Seq)]) {
        for (share, said) in page {
            let Ok(place) = stored.binary_search_by_key(share, |(share, ..)| *share) else {
                self.audit.add("verdict of the log is stored", share, "no", "yes");
                continue;
            };
            let (_, verdict, at) = &stored[place];
            // An earlier verdict may lie in a file that is gone, and later than `folded` may be folded by now.
            let is_whole = *share >= self.oldest && *at <= self.folded;
            if is_whole && (verdict.as_str(), *at) != (said.verdict, said.at) {
                let (sql, log) = (format!("{verdict} by {at}"), format!("{} by {}", said.verdict, said.at));
                self.audit.add("stored verdict is as the log has it", share, sql, log);
            }
        }
    }
}

/// The verdict that counts, and its own position.
#[derive(Clone, Copy)]
struct Said {
    verdict: &'static str,
    at: Seq,
}

/// The stored shares of a host, in order, a page of batches at a time.
struct Batches<'a> {
    store: &'a Store,
    host: HostId,
    after: Seq,
    /// Decoded, the current one last.
    page: Vec<ShareBatch>,
    at: usize,
}

impl Batches<'_> {
    /// Forgets what lies before `first`: the log no longer has it.
    async fn skip_before(&mut self, first: Seq) -> Result<(), StoreError> {
        loop {
            let rows = self.store.batch_list(self.host, self.after, BATCHES_PER_PAGE).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                if row.last_seq >= first {
                    self.fill().await?;
                    self.at = self
                        .current_batch()
                        .map_or(0, |batch| batch.shares.iter().take_while(|share| share.seq < first).count());
                    return Ok(());
                }
                self.after = row.first_seq;
            }
        }
    }

    /// Makes sure that there is a current share, if any is left. What cannot be decoded is another check's finding.
    async fn fill(&mut self) -> Result<(), StoreError> {
        while self.current_batch().is_none_or(|batch| self.at >= batch.shares.len()) {
            self.page.pop();
            self.at = 0;
            if self.page.is_empty() {
                let rows = self.store.batch_list(self.host, self.after, BATCHES_PER_PAGE).await?;
                let Some(last) = rows.last() else { return Ok(()) };
                self.after = last.first_seq;
                self.page = rows.iter().rev().filter_map(|row| ShareBatch::decode(&row.body).ok()).collect();
            }
        }
        Ok(())
    }

    fn current_batch(&self) -> Option<&ShareBatch> {
        self.page.last()
    }

    fn current(&self) -> Option<(&ShareBatch, &StoredShare)> {
        let batch = self.current_batch()?;
        Some((batch, batch.shares.get(self.at)?))
    }
}

#[cfg(test)]
pub(crate) mod tests;
