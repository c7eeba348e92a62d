use messages::share_ledger::{AppendRefusal, Event};
use units::{Minute, PolicyId};

use super::*;
use crate::testing::{TestLog, line, share, template};
use share_log::record::FileHead;

const ROOM: u64 = 1 << 30;

#[test]
fn a_file_that_cannot_be_made_is_answered_full_and_made_when_it_can_be() {
    let rig = TestLog::start(1, ROOM); // Every commit wants a new file.
    let (first, second, template) = (line("first"), line("second"), template(1));
    rig.append(vec![share(&first, &template, 1)]).unwrap();
    rig.hide();
    for _ in 0..10 {
        assert_eq!(rig.append(vec![share(&second, &template, 2)]), Err(AppendRefusal::Full));
        assert_eq!(rig.define(&template), Err(AppendRefusal::Full));
    }
    assert_eq!((rig.metrics.log_unwritable.get(), rig.metrics.log_refused_total.get()), (1, 20));
    rig.show();
    assert_eq!(rig.append(vec![share(&second, &template, 2)]).unwrap().first, Seq(2));
    assert_eq!(rig.metrics.log_unwritable.get(), 0);
    assert_eq!(rig.logged(), [(1, "first".to_owned(), 1), (2, "second".to_owned(), 2)]);
    assert_eq!(rig.files().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_header_that_an_earlier_try_left_is_replaced_and_a_file_with_records_never_is() {
    let mut rig = TestLog::start(1, ROOM);
    let (line, template) = (line("rig"), template(1));
    rig.append(vec![share(&line, &template, 1)]).unwrap();
    rig.stop();
    let head = FileHead { number: 2, base: Seq(2), ..FileHead::default() };
    drop(rig.log().create(head).unwrap());
    drop(rig.log().create(head).unwrap());
    let before = rig.files();
    assert!(rig.log().create(FileHead { number: 1, base: Seq(1), ..FileHead::default() }).is_err());
    assert_eq!(rig.files(), before);
}

#[test]
fn what_needs_no_record_costs_no_sync() {
    let rig = TestLog::start(ROOM, ROOM);
    let (line, template) = (line("rig"), template(1));
    assert_eq!(rig.find(0, &[&share(&line, &template, 1)]).unwrap(), [None]);
    assert_eq!(rig.files(), [], "a file is made with its first record");
    rig.append(vec![share(&line, &template, 1)]).unwrap();
    let (files, syncs) = (rig.files(), rig.metrics.log_syncs_total.get());
    rig.define(&template).unwrap();
    assert!(rig.find(0, &[&share(&line, &template, 1)]).unwrap()[0].is_some());
    assert_eq!((rig.files(), rig.metrics.log_syncs_total.get()), (files, syncs));
}

#[test]
fn beyond_the_backlog_shares_are_refused_and_beyond_an_eighth_more_everything_is() {
    let rig = TestLog::start(ROOM, 8_000);
    let (line, template) = (line("rig"), template(1));
    let rejects = || Event::Rejects { line: Arc::clone(&line), reason: "stale job", minute: Minute(1), count: 1 };
    let mut next = rig.append(vec![share(&line, &template, 1)]).unwrap().first;
    rig.progress.set_backlog_bytes(8_001);
    assert_eq!(rig.append(vec![share(&line, &template, 2)]), Err(AppendRefusal::Full));
    next = rig.events(vec![rejects()]).inspect(|appended| assert!(appended.first > next)).unwrap().first;
    rig.progress.set_backlog_bytes(9_001);
    assert_eq!(rig.events(vec![rejects()]), Err(AppendRefusal::Full));
    assert_eq!(rig.define(&crate::testing::template(2)), Err(AppendRefusal::Full));
    rig.progress.set_backlog_bytes(0);
    assert_eq!(rig.append(vec![share(&line, &template, 2)]).unwrap().first, next.plus(1));
    assert_eq!(rig.metrics.log_full_total.get(), 3);
}

#[test]
fn a_later_generation_never_begins_a_file_that_marks_may_name() {
    let owner = LogOwner::default();
    owner.owned.lock().unwrap().number = 7;
    let place = tempfile::tempdir().unwrap();
    let (jobs, given) = crossbeam_channel::bounded(1);
    let (opened, end) = oneshot::channel();
    let disk = Disk {
        directory: LogDirectory::open(place.path()).unwrap(),
        segment_max_bytes: ROOM,
        backlog_max_bytes: ROOM,
        clock: Arc::new(|| units::Timestamp::from_ms(0)),
        metrics: Arc::default(),
        conditions: Arc::new(Conditions::new(Arc::new(|| units::Timestamp::from_ms(0)))),
        progress: Arc::default(),
        position: watch::channel(None).0,
        stall: Arc::default(),
        policy: PolicyId(1),
        fold: crossbeam_channel::bounded(1).0,
    };
    drop(jobs);
    disk.run(&owner, opened, &given);
    assert_eq!(runtime::block_on(end).unwrap().unwrap().next_file, 8);
}

#[test]
fn shares_are_never_booked_to_an_earlier_minute_and_no_restart_forgets_the_latest() {
    let rig = TestLog::start(ROOM, ROOM);
    let template = template(1);
    let latest = rig.append(vec![share(&line("a"), &template, 1)]).unwrap().minute;
    // This process's file has no share, and the clock is set back by an hour.
    let rig = rig.restart().unwrap();
    rig.define(&crate::testing::template(2)).unwrap();
    rig.clock.fetch_sub(3_600_000, Ordering::Relaxed);
    let rig = rig.restart().unwrap();
    assert_eq!(rig.append(vec![share(&line("a"), &crate::testing::template(3), 2)]).unwrap().minute, latest);
    assert_eq!(rig.metrics.log_minutes_ahead.get(), 60);
    rig.clock.fetch_add(3_660_000, Ordering::Relaxed);
    let rig = rig.restart().unwrap();
    let next = rig.append(vec![share(&line("a"), &crate::testing::template(4), 3)]).unwrap().minute;
    assert_eq!((next, rig.metrics.log_minutes_ahead.get()), (Minute(latest.0 + 1), 0));
}

#[test]
fn a_clock_that_leaps_ahead_takes_no_share_along() {
    let rig = TestLog::start(ROOM, ROOM);
    let (line, template) = (line("a"), template(1));
    let before = rig.append(vec![share(&line, &template, 1)]).unwrap().minute;
    rig.clock.fetch_add(24 * 3_600_000, Ordering::Relaxed);
    let leapt = rig.append(vec![share(&line, &template, 2)]).unwrap().minute;
    assert_eq!(rig.metrics.log_minutes_behind.get(), 24 * 60, "whoever looks for what was booked lately looks there");
    rig.clock.fetch_sub(24 * 3_600_000, Ordering::Relaxed);
    let after = rig.append(vec![share(&line, &template, 3)]).unwrap().minute;
    assert_eq!(rig.metrics.log_minutes_behind.get(), 0);
    assert!(leapt.0 - before.0 <= 1 && after >= leapt && after.0 - before.0 <= 1, "{before:?} {leapt:?} {after:?}");
}

/// Whether the disk refuses, as everybody is told.
fn told(rig: &TestLog) -> Option<String> {
    rig.conditions.list().pop().map(|condition| condition.text)
}

fn wait_told(rig: &TestLog, wanted: Option<&str>) {
    let give_up_at = Instant::now() + std::time::Duration::from_secs(10);
    while told(rig).as_deref() != wanted {
        assert!(Instant::now() < give_up_at, "{:?} instead of {wanted:?}", told(rig));
        std::thread::yield_now();
    }
}

#[test]
fn a_directory_that_takes_no_file_is_told_while_nobody_writes_and_until_it_does_again() {
    let rig = TestLog::start(ROOM, ROOM);
    let (line, template) = (line("rig"), template(1));
    rig.append(vec![share(&line, &template, 1)]).unwrap();
    rig.hide();
    wait_told(&rig, Some("share log cannot be written: its directory takes no new file"));
    // The open file still takes shares.
    assert_eq!(rig.append(vec![share(&line, &template, 2)]).unwrap().first, Seq(2));
    assert_eq!(rig.metrics.log_unwritable.get(), 1);
    rig.show();
    wait_told(&rig, None);
    assert_eq!(rig.metrics.log_unwritable.get(), 0);
    assert_eq!(rig.logged().len(), 2);
}

#[test]
fn a_commit_that_was_refused_is_told_until_the_disk_takes_as_much_again() {
    let rig = TestLog::start(1, ROOM); // Every commit wants a new file.
    let (line, template) = (line("rig"), template(1));
    rig.append(vec![share(&line, &template, 1)]).unwrap();
    rig.hide();
    assert!(rig.append(vec![share(&line, &template, 2)]).is_err());
    assert_eq!(told(&rig).as_deref(), Some("share log cannot be written: the disk is full or fails"));
    rig.show();
    wait_told(&rig, None);
    assert_eq!(rig.append(vec![share(&line, &template, 2)]).unwrap().first, Seq(2));
    let names = std::fs::read_dir(rig.log_path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| name != "probe"), "a probe leaves nothing");
}

#[test]
fn what_a_probe_writes_is_never_part_of_the_log() {
    let place = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(place.path()).unwrap();
    let mut writer = Writer::new(directory.clone(), PolicyId(1), 1, Seq(1), Minute(1));
    let mut commit = |nonce| {
        writer.begin(Minute(1), ROOM);
        writer.share(&share(&line("rig"), &template(1), nonce));
        assert!(writer.commit().is_ok());
        assert!(writer.probe(10_000).is_ok());
        std::fs::metadata(&directory.files().unwrap()[0].path).unwrap().len()
    };
    let first = commit(1);
    assert!(commit(2) > first);
    assert_eq!(directory.recover().unwrap().next_seq, Seq(3));
    assert_eq!(directory.recover().unwrap().cut_bytes, 0);
}
