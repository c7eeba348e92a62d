//! Refusals at each place of the fold: nothing is lost, nothing behind them waits, and what is tried again is booked once.
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use chain::HeaderBase;
use messages::conditions::ConditionKind;
use store::batch::ShareBatch;
use units::{Difficulty, Minute, Nonce, Seq, Timestamp};

use crate::audit::tests::{HEADER, Host, log_of};
use crate::progress::Progress;
use crate::writer::Writer;
use share_log::record::{
    CandidateRecord, FileHead, IdentityDefinition, Record, RejectsRecord, Share, TemplateDefinition, VERIFIED,
    VerdictRecord,
};

const NOW: Timestamp = Timestamp::from_ms(1_795_000_000_000);
const MINUTE: Minute = Minute(29_916_666);
/// Local id of the second line.
const BAD: u32 = 3;
const GOOD: u32 = 1;

fn share(line: u32, nonce: u64, flags: u8) -> Record<'static> {
    let (template, difficulty, received_at) = (2, Difficulty::new(60).unwrap(), NOW);
    Record::Share(Share { line, template, nonce: Nonce::new(nonce), difficulty, received_at, minute: MINUTE, flags })
}

fn verdict(line: u32, of: u64, verdict: u8) -> Record<'static> {
    let difficulty = Difficulty::new(60).unwrap();
    Record::Verdict(VerdictRecord { share: Seq(of), minute: MINUTE, line, difficulty, verdict })
}

fn rejects(line: u32, reason: &'static str) -> Record<'static> {
    Record::Rejects(RejectsRecord { line, minute: MINUTE, count: 2, reason })
}

fn candidate(line: u32, of: u64, nonce: u64) -> Record<'static> {
    let (nonce, received_at) = (Nonce::new(nonce), NOW);
    Record::Candidate(CandidateRecord { share: Seq(of), line, template: 2, nonce, received_at })
}

/// The log of two workers, and a template that nobody uses.
fn log_of_both(records: Vec<Record<'static>>) -> Vec<Record<'static>> {
    let worker = IdentityDefinition { local_id: BAD, origin: [8; 16], address: "Sw8X", worker: "Рига" };
    log_of([vec![Record::Identity(worker)], records].concat())
}

/// The hash of the candidate of a nonce.
fn hash(nonce: u64) -> String {
    HeaderBase::from_bytes(HEADER).block_id(Nonce::new(nonce)).to_string()
}

/// A host, and where its log ends for the fold.
struct TestLog {
    host: Host,
    progress: Arc<Progress>,
}

impl TestLog {
    fn new(records: Vec<Record<'static>>) -> TestLog {
        let host = Host::new();
        host.write(&log_of_both(records));
        let progress = Arc::new(Progress::at(host.log().readable().unwrap().unwrap()));
        TestLog { host, progress }
    }

    fn refuse(&self, name: &str, event: &str, when: &str) {
        self.host.sql(&format!(
            "CREATE TRIGGER {name} BEFORE {event} WHEN {when} BEGIN SELECT RAISE(ABORT, 'no {name} like this'); END"
        ));
    }

    fn mend(&self, names: &[&str]) {
        names.iter().for_each(|name| self.host.sql(&format!("DROP TRIGGER {name}")));
    }

    fn fold(&self) {
        self.host.fold_on(Arc::clone(&self.progress));
    }

    /// Kinds of what is set aside, with how many records.
    fn aside(&self) -> Vec<(String, u64)> {
        let items = runtime::block_on(self.host.store.set_aside_list()).unwrap();
        items.into_iter().map(|item| (item.kind, item.records)).collect()
    }

    fn has(&self, kind: ConditionKind) -> bool {
        self.host.conditions.has(kind)
    }

    fn detail(&self, kind: ConditionKind) -> String {
        let all = self.host.conditions.list();
        all.into_iter().find(|condition| condition.kind == kind).map(|condition| condition.detail).unwrap_or_default()
    }

    /// How often each nonce is booked.
    fn booked(&self) -> BTreeMap<u64, u32> {
        let host = runtime::block_on(self.host.store.host_list()).unwrap()[0].0;
        let mut booked = BTreeMap::new();
        for row in runtime::block_on(self.host.store.batch_list(host, Seq::ZERO, 1_000)).unwrap() {
            let batch = ShareBatch::decode(&row.body).unwrap();
            batch.shares.iter().for_each(|share| *booked.entry(share.nonce.get()).or_default() += 1);
        }
        booked
    }

    fn nonces(&self) -> Vec<u64> {
        self.booked()
            .into_iter()
            .map(|(nonce, times)| if times == 1 { nonce } else { panic!("{nonce} {times} times") })
            .collect()
    }

    /// Puts what the fold offers into the log, as the disk thread does; false when it offers nothing.
    fn append(&mut self) -> bool {
        let Some(rows) = self.progress.take_retry() else { return false };
        let log = self.host.log();
        let end = log.recover().unwrap();
        let mut writer = Writer::new(log, units::PolicyId(1), end.next_file, end.next_seq, end.minute);
        writer.begin(Minute(MINUTE.0 + 5), 1 << 30);
        writer.retried(rows.row, &rows.body);
        assert!(writer.commit().is_ok());
        self.restart();
        true
    }

    /// What a new process knows: the log alone.
    fn restart(&mut self) {
        self.progress = Arc::new(Progress::at(self.host.log().readable().unwrap().unwrap()));
    }

    fn retry(&mut self) {
        runtime::block_on(self.host.store.set_aside_retry(None, NOW)).unwrap();
        self.fold();
        while self.append() {
            self.fold();
        }
    }

    #[track_caller]
    fn assert_clean(&self) {
        let audit = self.host.audit();
        assert_eq!((audit.differences, audit.pending), (vec![], 0));
        assert_eq!(runtime::block_on(self.host.store.audit_shares()).unwrap(), vec![]);
    }
}

/// Writes a file with one more record.
fn append(rig: &TestLog, record: &Record<'static>) {
    let log = rig.host.log();
    let end = log.recover().unwrap();
    let head = FileHead { number: end.next_file, base: end.next_seq, minute: end.minute, policy: None };
    let mut bytes = Vec::new();
    for record in log_of_both(vec![record.clone()]) {
        record.encode(end.next_file, &mut bytes);
    }
    log.create(head).unwrap().write_all(&bytes).unwrap();
}

/// Everything is written, what was refused is set aside as `kinds`, and all of it is booked when it is tried again.
fn check(records: Vec<Record<'static>>, event: &str, when: &str, kinds: &[(&str, u64)]) {
    let positions = records.len() as u64;
    let shares = records.iter().filter(|record| matches!(record, Record::Share(_))).count();
    let mut rig = TestLog::new(records);
    rig.refuse("refusal", event, when);
    rig.fold();
    let kinds: Vec<_> = kinds.iter().map(|(kind, records)| ((*kind).to_owned(), *records)).collect();
    assert_eq!((rig.host.folded(), rig.aside()), (Seq(positions), kinds), "{event} {when}");
    assert!(rig.has(ConditionKind::RecordsSetAside) && !rig.has(ConditionKind::FoldStopped));
    let detail = rig.detail(ConditionKind::RecordsSetAside);
    assert!(detail.contains("no refusal like this"), "{detail}");
    rig.assert_clean();
    rig.mend(&["refusal"]);
    rig.retry();
    assert_eq!(rig.aside(), [], "{event} {when}");
    assert_eq!(rig.nonces().len(), shares, "{event} {when}");
    assert!(!rig.has(ConditionKind::RecordsSetAside));
    assert_eq!(rig.host.metrics.log_set_aside_records.get(), 0);
    rig.assert_clean();
}

fn mixed() -> Vec<Record<'static>> {
    vec![
        share(GOOD, 1, 0),
        share(BAD, 2, VERIFIED),
        share(GOOD, 3, 0),
        verdict(BAD, 2, 2),
        rejects(BAD, "stale job"),
        verdict(GOOD, 1, 0),
        share(BAD, 4, 0),
        rejects(GOOD, "low difficulty"),
        verdict(GOOD, 3, 1),
        share(GOOD, 5, 0),
    ]
}

#[test]
fn a_refused_worker_is_set_aside_with_all_that_is_said_of_it_and_the_others_are_booked() {
    let of_the_worker = [("line", 4)];
    check(mixed(), "INSERT ON worker_identities", "NEW.worker = 'Рига'", &of_the_worker);
    check(mixed(), "INSERT ON miners", "NEW.address = 'Sw8X'", &of_the_worker);
}

#[test]
fn a_refused_share_is_set_aside_with_its_verdicts() {
    let of_the_third = [("share", 2)];
    check(mixed(), "INSERT ON share_batches", "NEW.first_seq <= 3 AND NEW.last_seq >= 3", &of_the_third);
    check(mixed(), "INSERT ON segments", "NEW.start_seq = 2", &[("share", 2)]);
    // At the beginning, and with nothing behind it.
    check(mixed(), "INSERT ON share_batches", "NEW.first_seq = 1", &[("share", 2)]);
    check(mixed(), "INSERT ON share_batches", "NEW.last_seq = 10", &[("share", 1)]);
}

#[test]
fn a_refused_verdict_or_reject_is_set_aside_alone() {
    check(mixed(), "INSERT ON verdicts", "NEW.share_seq = 3", &[("verdict", 1)]);
    check(mixed(), "INSERT ON rejects", "NEW.reason = 'stale job'", &[("rejects", 1)]);
    // One that was verified before it was acknowledged has its verdict with it.
    check(mixed(), "INSERT ON verdicts", "NEW.share_seq = 2", &[("share", 2)]);
}

#[test]
fn a_refused_candidate_is_set_aside_and_what_is_behind_it_is_booked() {
    let found = || {
        vec![
            share(GOOD, 1, VERIFIED),
            candidate(GOOD, 1, 1),
            share(GOOD, 2, VERIFIED),
            candidate(GOOD, 3, 2),
            share(BAD, 3, 0),
        ]
    };
    let when = format!("NEW.hash = '{}'", hash(1));
    check(found(), "INSERT ON blocks", &when, &[("candidate", 1)]);
    let mut rig = TestLog::new(found());
    rig.refuse("refusal", "INSERT ON blocks", &when);
    rig.fold();
    let block = |nonce| runtime::block_on(rig.host.store.block_find(&hash(nonce))).unwrap();
    assert!(block(1).is_none() && block(2).is_some());
    rig.mend(&["refusal"]);
    rig.retry();
    let block = runtime::block_on(rig.host.store.block_find(&hash(1))).unwrap();
    assert!(block.is_some(), "it is a block when it is tried again");
}

#[test]
fn a_refused_template_is_held_and_said() {
    let rig = TestLog::new(mixed());
    rig.refuse("refusal", "INSERT ON templates", "NEW.height >= 0");
    rig.fold();
    assert_eq!((rig.host.folded(), rig.aside()), (Seq::ZERO, vec![]));
    assert!(rig.detail(ConditionKind::FoldStopped).contains("no refusal like this"));
    rig.mend(&["refusal"]);
    rig.fold();
    assert_eq!((rig.host.folded(), rig.has(ConditionKind::FoldStopped)), (Seq(10), false));
    rig.assert_clean();
}

#[test]
fn when_nothing_goes_in_it_is_not_the_records_fault() {
    let rig = TestLog::new(vec![share(GOOD, 1, 0), share(BAD, 2, 0), share(GOOD, 3, 0)]);
    rig.refuse("refusal", "INSERT ON share_batches", "true");
    rig.fold();
    rig.fold();
    assert_eq!((rig.host.folded(), rig.aside()), (Seq::ZERO, vec![]));
    assert!(rig.detail(ConditionKind::FoldStopped).contains("no refusal like this"));
    rig.mend(&["refusal"]);
    rig.fold();
    assert_eq!((rig.nonces(), rig.has(ConditionKind::FoldStopped)), (vec![1, 2, 3], false));
}

#[test]
fn a_record_with_nothing_around_it_waits_for_one_that_goes_in() {
    let mut rig = TestLog::new(vec![share(BAD, 1, 0)]);
    rig.refuse("refusal", "INSERT ON worker_identities", "NEW.worker = 'Рига'");
    rig.fold();
    assert_eq!((rig.host.folded(), rig.aside()), (Seq::ZERO, vec![]));
    assert!(rig.has(ConditionKind::FoldStopped));
    rig.host.write(&log_of_both(vec![share(BAD, 1, 0), share(GOOD, 2, 0)]));
    rig.restart();
    rig.fold();
    assert_eq!((rig.host.folded(), rig.aside()), (Seq(2), vec![("line".to_owned(), 1)]));
    assert!(!rig.has(ConditionKind::FoldStopped));
    // From now on its records go aside without a try.
    rig.host.write(&log_of_both(vec![share(BAD, 1, 0), share(GOOD, 2, 0), share(BAD, 3, 0)]));
    rig.restart();
    rig.fold();
    assert_eq!((rig.host.folded(), rig.aside()), (Seq(3), vec![("line".to_owned(), 2)]));
}

#[test]
fn what_is_no_matter_of_data_sets_nothing_aside() {
    let rig = TestLog::new(mixed());
    rig.host.sql("ALTER TABLE segments RENAME TO hidden");
    rig.fold();
    rig.fold();
    assert_eq!((rig.host.folded(), rig.aside()), (Seq::ZERO, vec![]));
    rig.host.sql("ALTER TABLE hidden RENAME TO segments");
    rig.fold();
    assert_eq!(rig.host.folded(), Seq(10));
    rig.assert_clean();
}

#[test]
fn the_hundredth_refused_record_stops_the_fold() {
    let many = (1..=300).map(|nonce| share(GOOD, nonce, 0)).collect();
    let mut rig = TestLog::new(many);
    rig.refuse(
        "refusal",
        "INSERT ON share_batches",
        "NEW.first_seq = NEW.last_seq AND NEW.first_seq % 2 = 0 OR NEW.shares > 1",
    );
    rig.fold();
    assert_eq!((rig.host.folded(), rig.aside().len()), (Seq(199), 99));
    let detail = rig.detail(ConditionKind::FoldStopped);
    assert!(detail.contains("record 200") && detail.contains("99 refused records"), "{detail}");
    assert!(detail.contains("no refusal like this"), "{detail}");
    // Those that an operator has tried again do not count, or nothing would ever go on.
    runtime::block_on(rig.host.store.set_aside_retry(None, NOW)).unwrap();
    rig.fold();
    assert_eq!((rig.host.folded(), rig.has(ConditionKind::FoldStopped)), (Seq(300), false));
    assert_eq!(rig.aside().len(), 150);
    rig.mend(&["refusal"]);
    rig.retry();
    assert_eq!((rig.aside(), rig.nonces().len()), (vec![], 300));
    rig.assert_clean();
}

mod again;
mod random;
