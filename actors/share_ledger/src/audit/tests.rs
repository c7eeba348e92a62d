use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use chain::Network;
use diesel::SqliteConnection;
use diesel::connection::{Connection, SimpleConnection};
use messages::conditions::Conditions;
use messages::facts::LogPosition;
use tokio::sync::watch;
use units::{Amount, Difficulty, Nonce, Timestamp};

use super::*;
use crate::fold::Fold;
use crate::metrics::LedgerMetrics;
use crate::progress::Progress;
use share_log::record::{FILE_HEAD, FileHead, IdentityDefinition, RejectsRecord, TemplateDefinition, VerdictRecord};

pub(crate) const HEADER: [u8; 92] = [5; 92];

/// A host's log and the database beside it.
pub(crate) struct Host {
    place: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<LedgerMetrics>,
    pub(crate) conditions: Arc<Conditions>,
}

impl Host {
    pub(crate) fn new() -> Host {
        let place = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", place.path().join("pool.sqlite").display());
        Store::migrate(&url).unwrap();
        let store = Store::open(&url, 2).unwrap();
        let conditions = Arc::new(Conditions::new(Arc::new(|| Timestamp::from_ms(1_795_000_000_000))));
        Host { place, store, metrics: Arc::default(), conditions }
    }

    fn name(&self) -> String {
        self.log().stored_host_name().unwrap().unwrap()
    }

    pub(crate) fn log(&self) -> LogDirectory {
        let log = LogDirectory::open(&self.place.path().join("log")).unwrap();
        crate::host_name(&log, || "h1".into()).unwrap();
        log
    }

    /// Makes these records the only file of the log.
    pub(crate) fn write(&self, records: &[Record<'_>]) {
        self.write_under(None, 1, records);
    }

    /// The same, but the first one that is counted has this position.
    pub(crate) fn write_from(&self, base: u64, records: &[Record<'_>]) {
        self.write_under(None, base, records);
    }

    pub(crate) fn write_under(&self, policy: Option<units::PolicyId>, base: u64, records: &[Record<'_>]) {
        let log = self.log();
        for file in log.files().unwrap() {
            std::fs::remove_file(file.path).unwrap();
        }
        let head = FileHead { number: 1, base: Seq(base), policy, ..FileHead::default() };
        let mut file = log.create(head).unwrap();
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.encode(1, &mut bytes));
        file.write_all(&bytes).unwrap();
    }

    pub(crate) fn fold(&self) {
        self.fold_until(self.log().readable().unwrap().unwrap());
    }

    pub(crate) fn folded(&self) -> Seq {
        let hosts = runtime::block_on(self.store.host_list()).unwrap();
        hosts[0].2
    }

    pub(crate) fn row(&self) -> HostId {
        runtime::block_on(self.store.host_list()).unwrap()[0].0
    }

    pub(crate) fn fold_until(&self, durable: Durable) {
        self.fold_on(Arc::new(Progress::at(durable)));
    }

    /// One pass.
    pub(crate) fn fold_on(&self, progress: Arc<Progress>) {
        let now = Timestamp::from_ms(1_795_000_000_000);
        let host = runtime::block_on(self.store.host_register(&self.name(), now)).unwrap();
        let policy = runtime::block_on(self.store.policy_ensure("{}", now)).unwrap();
        let (position, _) = watch::channel(Some(LogPosition::default()));
        let fold = Fold {
            directory: self.log(),
            store: self.store.clone(),
            network: Network::Mainnet,
            host,
            policy,
            window: Duration::from_secs(3600),
            kept_max_bytes: u64::MAX,
            clock: Arc::new(move || now),
            metrics: Arc::clone(&self.metrics),
            conditions: Arc::clone(&self.conditions),
            progress,
            owner: Arc::default(),
            position,
        };
        let (wake, woken) = crossbeam_channel::bounded(1);
        drop(wake);
        std::thread::spawn(move || fold.run(&woken)).join().unwrap();
    }

    /// Runs SQL past the store.
    pub(crate) fn sql(&self, text: &str) {
        let path = self.place.path().join("pool.sqlite").display().to_string();
        let mut conn = SqliteConnection::establish(&path).unwrap();
        conn.batch_execute("PRAGMA busy_timeout = 5000;").unwrap();
        conn.batch_execute(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    pub(crate) fn audit(&self) -> LogAudit {
        runtime::block_on(audit_log(&self.place.path().join("log"), &self.store)).unwrap()
    }
}

pub(crate) fn share(nonce: u64) -> Record<'static> {
    Record::Share(Share {
        line: 1,
        template: 2,
        nonce: Nonce::new(nonce),
        difficulty: Difficulty::new(60).unwrap(),
        received_at: Timestamp::from_ms(1_795_000_000_000),
        minute: Minute(29_916_666),
        flags: 0,
    })
}

pub(crate) fn verdict(of: u64) -> Record<'static> {
    let (minute, difficulty) = (Minute(29_916_666), Difficulty::new(60).unwrap());
    Record::Verdict(VerdictRecord { share: Seq(of), minute, line: 1, difficulty, verdict: 0 })
}

fn rejects() -> Record<'static> {
    Record::Rejects(RejectsRecord { line: 1, minute: Minute(29_916_666), count: 1, reason: "stale job" })
}

/// Definitions, then what is counted from position 1.
pub(crate) fn log_of(records: Vec<Record<'static>>) -> Vec<Record<'static>> {
    let template = TemplateDefinition {
        local_id: 2,
        header_base: &HEADER,
        target: &[6; 32],
        reward: Amount::from_atoms(72_325_093_035).unwrap(),
        fetched_at: Timestamp::from_ms(0),
        daemon_id: "",
        reward_address: "UKSV",
        block: "{}",
    };
    let line = IdentityDefinition { local_id: 1, origin: [7; 16], address: "Sw9Z", worker: "rig" };
    let mut all = vec![Record::Commit { ordinal: 1 }, Record::Identity(line), Record::Template(template)];
    all.extend(records);
    all
}

/// Names of the checks that found something after the log was replaced by `after`.
fn found(after: Vec<Record<'static>>) -> Vec<(&'static str, String)> {
    let host = Host::new();
    host.write(&log_of(vec![share(1), share(2), verdict(1), rejects(), share(3)]));
    host.fold();
    host.write(&log_of(after));
    host.audit().differences.into_iter().map(|difference| (difference.check, difference.subject)).collect()
}

#[test]
fn what_is_folded_agrees_and_what_is_not_is_pending() {
    let host = Host::new();
    host.write(&log_of(vec![share(1), share(2), verdict(1), rejects(), share(3)]));
    host.fold();
    let audit = host.audit();
    assert_eq!((audit.differences, audit.pending, audit.compared), (vec![], 0, 3));
    host.write(&log_of(vec![share(1), share(2), verdict(1), rejects(), share(3), share(4), verdict(4)]));
    let audit = host.audit();
    assert_eq!((audit.differences, audit.pending, audit.compared), (vec![], 2, 3));
}

#[test]
fn a_tail_that_is_being_written_is_no_difference() {
    let host = Host::new();
    host.write(&log_of(vec![share(1)]));
    host.fold();
    let file = host.log().files().unwrap().remove(0);
    let mut torn = Vec::new();
    share(2).encode(1, &mut torn);
    std::fs::OpenOptions::new().append(true).open(file.path).unwrap().write_all(&torn[..20]).unwrap();
    let audit = host.audit();
    assert_eq!((audit.differences, audit.pending, audit.compared), (vec![], 0, 1));
}

#[test]
fn a_share_that_says_something_else_is_named() {
    let found = found(vec![share(1), share(22), verdict(1), rejects(), share(3)]);
    assert_eq!(found, [("stored share is as the log has it", "2".to_owned())]);
}

#[test]
fn a_share_that_only_one_side_has_is_named() {
    let lost_by_log = found(vec![share(1), rejects(), verdict(1), rejects(), share(3)]);
    assert_eq!(lost_by_log, [("stored share is in the log", "2".to_owned())]);
    let lost_by_tables = found(vec![share(1), share(2), verdict(1), share(9), share(3)]);
    assert_eq!(lost_by_tables, [("share of the log is stored", "4".to_owned())]);
}

#[test]
fn a_share_that_is_in_the_log_twice_is_named_in_whatever_file_it_is() {
    let host = Host::new();
    host.write(&log_of(vec![share(1), share(2), share(1)]));
    let mut bytes = Vec::new();
    log_of(vec![share(3), share(2)]).iter().for_each(|record| record.encode(2, &mut bytes));
    let head = FileHead { number: 2, base: Seq(4), ..FileHead::default() };
    host.log().create(head).unwrap().write_all(&bytes).unwrap();
    host.fold();
    let found = host.audit().differences.into_iter().map(|difference| (difference.check, difference.subject));
    let twice = |seq: &str| ("share is in the log once", seq.to_owned());
    assert_eq!(found.collect::<Vec<_>>(), [twice("3"), twice("5")]);
}

#[test]
fn a_verdict_that_the_tables_lack_is_named() {
    let found = found(vec![share(1), share(2), verdict(1), verdict(2), share(3)]);
    assert_eq!(found, [("verdict of the log is stored", "2".to_owned())]);
}

#[test]
fn a_verdict_that_says_something_else_is_named() {
    let said = |of: u64, what: u8| match verdict(of) {
        Record::Verdict(record) => Record::Verdict(VerdictRecord { verdict: what, ..record }),
        other => other,
    };
    let flipped = found(vec![share(1), share(2), said(1, 1), rejects(), share(3)]);
    assert_eq!(flipped, [("stored verdict is as the log has it", "1".to_owned())]);
    // A share that was verified before it was acknowledged has its verdict with it.
    let host = Host::new();
    let verified = || match share(1) {
        Record::Share(record) => Record::Share(Share { flags: VERIFIED, ..record }),
        other => other,
    };
    host.write(&log_of(vec![verified(), said(1, 1), said(1, 2), share(2), said(4, 0), said(4, 1)]));
    host.fold();
    assert!(host.audit().differences.is_empty());
    host.write(&log_of(vec![verified(), said(1, 1), rejects(), share(2), said(4, 0), said(4, 1)]));
    let differences = host.audit().differences;
    let named: Vec<_> = differences.iter().map(|difference| (difference.check, difference.subject.as_str())).collect();
    assert_eq!(named, [("stored verdict is as the log has it", "1")]);
}

#[test]
fn what_was_cleaned_up_is_no_difference_and_what_is_kept_is_compared() {
    let host = Host::new();
    let later = || {
        let Record::Share(share) = share(3) else { unreachable!("it is a share") };
        Record::Share(Share { minute: Minute(share.minute.0 + 9), nonce: Nonce::new(3), ..share })
    };
    host.write(&log_of(vec![share(1), share(2), verdict(1)]));
    host.fold();
    host.write(&log_of(vec![share(1), share(2), verdict(1), share(4), later()]));
    host.fold();
    let clean = async {
        let lease = host.store.lease_take("money", "test", Duration::from_secs(60)).await.unwrap().unwrap();
        let cut = Minute(29_916_670);
        host.store.retention_mark(lease.epoch, Mark::Details, cut).await.unwrap();
        let verdicts = host.store.verdicts_prune(lease.epoch, cut, 9).await.unwrap();
        (verdicts, host.store.batches_prune(lease.epoch, cut, 9).await.unwrap())
    };
    assert_eq!(runtime::block_on(clean), (1, 1));
    let audit = host.audit();
    assert_eq!((audit.differences, audit.pending, audit.compared), (vec![], 0, 1));
    host.write(&log_of(vec![share(1), share(2), verdict(1), share(4), rejects()]));
    assert_eq!(host.audit().differences.len(), 1);
}

#[test]
fn a_log_that_ends_before_the_database_is_named_with_what_it_lacks() {
    let found = found(vec![share(1), share(2), verdict(1)]);
    let checks: Vec<_> = found.iter().map(|(check, _)| *check).collect();
    assert_eq!(checks, ["log reaches as far as the database", "stored share is in the log"]);
}

#[test]
fn a_damaged_log_is_a_difference_with_its_place() {
    let host = Host::new();
    host.write(&log_of(vec![share(1), share(2)]));
    host.fold();
    let file = host.log().files().unwrap().remove(0);
    // Another file follows: what is unreadable here is not a tail that is being written.
    drop(host.log().create(FileHead { number: 2, base: Seq(3), ..FileHead::default() }).unwrap());
    let mut bytes = std::fs::read(&file.path).unwrap();
    bytes[FILE_HEAD + 12] ^= 1;
    std::fs::write(&file.path, bytes).unwrap();
    let found = host.audit().differences;
    assert_eq!(found.iter().map(|difference| difference.check).collect::<Vec<_>>(), ["log can be read"]);
    assert!(found[0].subject.contains("00000000000000000001.log at 40"), "{found:?}");
}

#[test]
fn where_there_is_no_log_there_is_nothing_to_compare() {
    let host = Host::new();
    let audit = host.audit();
    assert_eq!((audit.pending, audit.differences), (0, vec![]));
    assert!(!host.place.path().join("log").exists(), "an audit makes nothing");
}

#[test]
fn a_block_is_priced_by_the_settings_at_its_find_and_not_by_those_at_the_fold() {
    let host = Host::new();
    let at = Timestamp::from_ms(1_795_000_000_000);
    let then = runtime::block_on(host.store.policy_ensure(r#"{"window_ms":60000}"#, at)).unwrap();
    let candidate = CandidateRecord { share: Seq(1), line: 1, template: 2, nonce: Nonce::new(1), received_at: at };
    host.write_under(Some(then), 1, &log_of(vec![share(1), Record::Candidate(candidate)]));
    host.fold();
    let hash = HeaderBase::from_bytes(HEADER).block_id(Nonce::new(1)).to_string();
    let block = runtime::block_on(host.store.block_find(&hash)).unwrap().unwrap();
    assert_eq!((block.policy, block.window_start), (then, at.minus(Duration::from_secs(60))));
}
