//! A share log that exists only in memory, and the fold steps that its owner would make of it.
use std::collections::BTreeMap;
use std::time::Duration;

use store::Store;
use store::batch::{ShareBatch, StoredShare};
use store::fold::{
    Aside, BatchRow, CandidateRow, FoldStep, IdentityKey, RejectRow, SegmentDelta, TemplateRow, VerdictRow,
};
use units::{Amount, Difficulty, Height, HostId, Minute, Nonce, PolicyId, Seq, Timestamp, Work};

pub const WINDOW: Duration = Duration::from_secs(6 * 3600);

/// The minute in which tests begin.
pub const EPOCH: u32 = 30_000_000;

/// A share as it was logged.
#[derive(Debug, Clone)]
pub struct Raw {
    pub seq: u64,
    pub line: usize,
    pub minute: u32,
    pub difficulty: u64,
}

/// A log, and what of it is not folded yet.
pub struct Log {
    pub host: HostId,
    pub policy: PolicyId,
    pub lines: Vec<IdentityKey>,
    pub template: TemplateRow,
    pub window: Duration,
    pub shares: Vec<Raw>,
    seq: u64,
    folded: u64,
    verdicts: Vec<(u64, u64, &'static str)>,
    rejects: Vec<(usize, u32, &'static str, u64)>,
}

pub fn line(address: &str, worker: &str) -> IdentityKey {
    IdentityKey { address: address.into(), worker: worker.into(), origin: [7; 16] }
}

pub fn at(minute: u32) -> Timestamp {
    Minute(minute).start().plus(Duration::from_secs(30))
}

pub fn template(height: u64) -> TemplateRow {
    TemplateRow {
        merkle_root: format!("{height:064x}"),
        height: Height::new(height),
        prev_hash: format!("{:064x}", height + 1_000_000),
        header_base: (0..92).collect(),
        difficulty: Difficulty::new(5_000).unwrap(),
        reward: Amount::from_atoms(7_200_000_000).unwrap(),
        seen_at: at(EPOCH),
    }
}

/// A block id for tests.
pub fn hash(n: u64) -> String {
    format!("{:064x}", n + 0xb10c_0000)
}

impl Log {
    pub async fn new(store: &Store, host: &str, lines: Vec<IdentityKey>) -> Log {
        let registered = Minute(EPOCH).start().minus(Duration::from_secs(60));
        Log {
            host: store.host_register(host, registered).await.unwrap(),
            policy: store.policy_ensure("{\"scheme\":\"pplns\"}", registered).await.unwrap(),
            lines,
            template: template(1_000),
            window: WINDOW,
            shares: Vec::new(),
            seq: 0,
            folded: 0,
            verdicts: Vec::new(),
            rejects: Vec::new(),
        }
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Logs a share; its position.
    pub fn share(&mut self, line: usize, minute: u32, difficulty: u64) -> u64 {
        let seq = self.next();
        self.shares.push(Raw { seq, line, minute, difficulty });
        seq
    }

    /// Logs a verdict on a share.
    pub fn verdict(&mut self, share: u64, verdict: &'static str) {
        let seq = self.next();
        self.verdicts.push((seq, share, verdict));
    }

    /// Logs counted rejects.
    pub fn reject(&mut self, line: usize, minute: u32, reason: &'static str, count: u64) {
        self.next();
        self.rejects.push((line, minute, reason, count));
    }

    /// What is not folded yet, as a step.
    pub fn step(&mut self) -> FoldStep {
        let (from, to) = (self.folded, self.seq);
        self.folded = to;
        let fresh: Vec<Raw> = self.shares.iter().filter(|share| share.seq > from).cloned().collect();
        let mut segments: BTreeMap<(usize, u32), SegmentDelta> = BTreeMap::new();
        for share in &fresh {
            let segment = segments.entry((share.line, share.minute)).or_insert_with(|| SegmentDelta {
                line: share.line,
                minute: Minute(share.minute),
                start_seq: Seq(share.seq),
                last_seq: Seq(share.seq),
                shares: 0,
                work: Work::ZERO,
                first_at: at(share.minute),
                last_at: at(share.minute),
            });
            segment.last_seq = Seq(share.seq);
            segment.shares += 1;
            segment.work = Work::new(segment.work.get() + share.difficulty).unwrap();
        }
        let mut segments: Vec<SegmentDelta> = segments.into_values().collect();
        segments.sort_by_key(|segment| segment.start_seq);
        let verdicts = std::mem::take(&mut self.verdicts).into_iter().map(|(seq, share, verdict)| {
            let share = self.shares.iter().find(|raw| raw.seq == share).unwrap();
            VerdictRow {
                line: share.line,
                share_seq: Seq(share.seq),
                minute: Minute(share.minute),
                difficulty: Difficulty::new(share.difficulty).unwrap(),
                verdict,
                seq: Seq(seq),
            }
        });
        let verdicts = verdicts.collect();
        let rejects = std::mem::take(&mut self.rejects).into_iter().map(|(line, minute, reason, count)| RejectRow {
            line,
            minute: Minute(minute),
            reason: reason.into(),
            count,
        });
        FoldStep {
            host: self.host,
            from: Seq(from),
            to: Seq(to),
            batch: self.batch(&fresh),
            lines: self.lines.clone(),
            templates: vec![self.template.clone()],
            segments,
            verdicts,
            rejects: rejects.collect(),
            candidate: None,
            aside: Aside::default(),
            policy: self.policy,
            window: self.window,
            at: at(fresh.last().map_or(EPOCH, |share| share.minute)),
        }
    }

    /// What is not folded yet, ended by a candidate that `line` found with the share at `share`.
    pub fn candidate(&mut self, hash: &str, line: usize, share: u64, minute: u32) -> FoldStep {
        self.next();
        let candidate = CandidateRow {
            line,
            template: 0,
            hash: hash.into(),
            nonce: i64::try_from(share * 1_000).unwrap(),
            share_seq: Seq(share),
            found_at: at(minute),
            booked_until: at(minute),
        };
        FoldStep { candidate: Some(candidate), ..self.step() }
    }

    fn batch(&self, fresh: &[Raw]) -> Option<BatchRow> {
        let (first, last) = (fresh.first()?, fresh.last()?);
        let shares = fresh.iter().map(|share| StoredShare {
            seq: Seq(share.seq),
            line: u32::try_from(share.line).unwrap(),
            template: 0,
            nonce: Nonce::new(share.seq * 1_000),
            difficulty: Difficulty::new(share.difficulty).unwrap(),
            received_at: at(share.minute),
            minute: Minute(share.minute),
            flags: 0,
        });
        let batch = ShareBatch {
            lines: self.lines.clone(),
            templates: vec![self.template.merkle_root.clone()],
            shares: shares.collect(),
        };
        Some(BatchRow {
            first_seq: Seq(first.seq),
            last_seq: Seq(last.seq),
            shares: fresh.len() as u64,
            work: Work::new(fresh.iter().map(|share| share.difficulty).sum()).unwrap(),
            first_at: at(first.minute),
            last_at: at(last.minute),
            digest: batch.digest(),
            body: batch.encode(),
        })
    }
}
