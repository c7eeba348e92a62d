//! A disk thread to talk to, and what is said to it.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use chain::{Hash32, HeaderBase, HeaderParts, Target};
use crossbeam_channel::{Receiver, Sender, bounded};
use messages::conditions::Conditions;
use messages::facts::{Origin, Template, WorkerIdentity};
use messages::share_ledger::{
    AppendEvents, AppendRefusal, AppendShares, Appended, DefineTemplate, Event, FindShares, LoggedShare, NewShare,
};
use runtime::{Message, Reply};
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use units::{Amount, Difficulty, Height, Nonce, PolicyId, Seq, Timestamp};

use crate::disk::{Disk, Job, LogOwner};
use crate::metrics::LedgerMetrics;
use crate::progress::Progress;
use share_log::record::Record;
use share_log::{LogDirectory, LogEnd, LogError};
use share_log::{LogReader, Step};

/// A running disk thread. Ends with what it was given.
pub(crate) struct TestLog {
    place: tempfile::TempDir,
    pub(crate) metrics: Arc<LedgerMetrics>,
    pub(crate) conditions: Arc<Conditions>,
    pub(crate) progress: Arc<Progress>,
    /// Milliseconds since the epoch.
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) end: LogEnd,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    woken: Receiver<()>,
}

impl TestLog {
    pub(crate) fn start(segment_max_bytes: u64, backlog_max_bytes: u64) -> TestLog {
        let place = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(1_795_000_000_000));
        TestLog::start_in(place, clock, segment_max_bytes, backlog_max_bytes).unwrap()
    }

    fn start_in(
        place: tempfile::TempDir,
        clock: Arc<AtomicI64>,
        segment_max_bytes: u64,
        backlog_max_bytes: u64,
    ) -> Result<TestLog, LogError> {
        let (metrics, progress): (Arc<LedgerMetrics>, Arc<Progress>) = Default::default();
        let (fold, woken) = bounded(1);
        let time = Arc::clone(&clock);
        let conditions = Arc::new(Conditions::new(Arc::new(|| Timestamp::from_ms(0))));
        let disk = Disk {
            directory: LogDirectory::open(&place.path().join("log"))?,
            segment_max_bytes,
            backlog_max_bytes,
            clock: Arc::new(move || Timestamp::from_ms(time.load(Ordering::Relaxed))),
            metrics: Arc::clone(&metrics),
            conditions: Arc::clone(&conditions),
            progress: Arc::clone(&progress),
            position: watch::channel(None).0,
            stall: Arc::default(),
            policy: PolicyId(1),
            fold,
        };
        let (jobs, given) = bounded(64);
        let (opened, end) = oneshot::channel();
        let thread = std::thread::spawn(move || disk.run(&LogOwner::default(), opened, &given));
        let end = runtime::block_on(end).unwrap()?;
        Ok(TestLog { place, metrics, conditions, progress, clock, end, jobs: Some(jobs), thread: Some(thread), woken })
    }

    /// Ends it and starts the next one on the same log, as another process would.
    pub(crate) fn restart(mut self) -> Result<TestLog, LogError> {
        self.stop();
        TestLog::start_in(self.place, self.clock, 1 << 20, 1 << 30)
    }

    pub(crate) fn stop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        assert!(self.woken.len() <= 1);
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.place.path().join("log")
    }

    pub(crate) fn log(&self) -> LogDirectory {
        LogDirectory::open(&self.log_path()).unwrap()
    }

    /// Takes the log's directory away: no file can be made in it.
    pub(crate) fn hide(&self) {
        std::fs::rename(self.log_path(), self.place.path().join("hidden")).unwrap();
    }

    pub(crate) fn show(&self) {
        std::fs::rename(self.place.path().join("hidden"), self.log_path()).unwrap();
    }

    /// Length of each file.
    pub(crate) fn files(&self) -> Vec<(u64, u64)> {
        let files = self.log().files().unwrap();
        files.iter().map(|file| (file.number, std::fs::metadata(&file.path).unwrap().len())).collect()
    }

    fn ask<M: Message>(&self, job: impl FnOnce(Reply<M>) -> Job) -> M::Reply {
        let (reply, answer) = Reply::test();
        self.jobs.as_ref().unwrap().send(job(reply)).unwrap();
        runtime::block_on(answer).expect("an answer")
    }

    pub(crate) fn append(&self, shares: Vec<NewShare>) -> Result<Appended, AppendRefusal> {
        self.ask(|reply: Reply<AppendShares>| Job::Shares(shares, reply)).map(|appended| appended.at)
    }

    pub(crate) fn events(&self, events: Vec<Event>) -> Result<Appended, AppendRefusal> {
        self.ask(|reply: Reply<AppendEvents>| Job::Events(events, reply))
    }

    pub(crate) fn define(&self, template: &Arc<Template>) -> Result<(), AppendRefusal> {
        self.ask(|reply: Reply<DefineTemplate>| Job::Template(Arc::clone(template), reply))
    }

    pub(crate) fn find(&self, after: u64, shares: &[&NewShare]) -> Result<Vec<Option<LoggedShare>>, AppendRefusal> {
        let shares = shares.iter().map(|share| (share.template.merkle_root, share.nonce)).collect();
        self.ask(|reply: Reply<FindShares>| Job::Find(FindShares { after: Seq(after), shares }, reply))
    }

    /// Every durable share as its position, worker and nonce. Nothing may refer to what its file does not define.
    pub(crate) fn logged(&self) -> Vec<(u64, String, u64)> {
        let mut logged = Vec::new();
        let Some(mut reader) = LogReader::open_oldest(&self.log()).unwrap() else { return logged };
        let (mut lines, mut templates) = (std::collections::HashMap::new(), std::collections::HashSet::new());
        loop {
            match reader.next(self.progress.durable()).unwrap() {
                Step::End => return logged,
                Step::NewFile => {
                    lines.clear();
                    templates.clear();
                }
                Step::Record(_, Record::Identity(line)) => drop(lines.insert(line.local_id, line.worker.to_owned())),
                Step::Record(_, Record::Template(template)) => drop(templates.insert(template.local_id)),
                Step::Record(Some(seq), Record::Share(share)) => {
                    assert!(templates.contains(&share.template));
                    logged.push((seq.0, lines[&share.line].clone(), share.nonce.get()));
                }
                Step::Record(..) => {}
            }
        }
    }
}

pub(crate) fn line(worker: &str) -> Arc<WorkerIdentity> {
    Arc::new(WorkerIdentity {
        local_id: 1,
        address: "Sw9Z".into(),
        worker: worker.into(),
        origin: Origin([7; 16]),
        defined_in: 0.into(),
    })
}

pub(crate) fn template(height: u64) -> Arc<Template> {
    let difficulty = Difficulty::new(184_320).unwrap();
    let header_base = HeaderBase::build(&HeaderParts {
        version: 1,
        height: Height::new(height),
        prev_hash: chain::BlockId([1; 32]),
        merkle_root: Hash32(chain::sha3_256(&[&height.to_le_bytes()])),
        timestamp: 1_795_000_000,
        difficulty: difficulty.get(),
    });
    Arc::new(Template {
        local_id: height,
        header_base,
        height: header_base.height(),
        prev_hash: header_base.prev_hash(),
        merkle_root: header_base.merkle_root(),
        network_target: Target::from_difficulty(difficulty),
        network_difficulty: difficulty,
        reward: Amount::ZERO,
        reward_address: "UKSV".to_owned(),
        daemon_id: None,
        issuer: Some(0),
        block: RawValue::from_string("{}".to_owned()).unwrap(),
        mempool_generation: None,
        fetched_at: Timestamp::from_ms(0),
        retired_at: Default::default(),
        defined_in: 0.into(),
    })
}

pub(crate) fn share(line: &Arc<WorkerIdentity>, template: &Arc<Template>, nonce: u64) -> NewShare {
    NewShare {
        line: Arc::clone(line),
        template: Arc::clone(template),
        nonce: Nonce::new(nonce),
        difficulty: Difficulty::new(60).unwrap(),
        received_at: Timestamp::from_ms(1_795_000_000_000),
        verified: false,
        claims_block: false,
    }
}
