use messages::share_ledger::{AppendRefusal, Event};
use units::{Minute, PolicyId};

use super::*;
use crate::record::FileHead;
use crate::testing::{Rig, line, share, template};

const ROOM: u64 = 1 << 30;

#[test]
fn a_file_that_cannot_be_made_is_answered_full_and_made_when_it_can_be() {
    let rig = Rig::start(1, ROOM); // Every commit wants a new file.
    let (first, second, template) = (line("first"), line("second"), template(1));
    rig.append(vec![share(&first, &template, 1)]).unwrap();
    rig.hide();
    for _ in 0..10 {
        assert_eq!(rig.append(vec![share(&second, &template, 2)]), Err(AppendRefusal::Full));
        assert_eq!(rig.define(&template), Err(AppendRefusal::Full));
    }
    assert_eq!((rig.counters.log_unwritable.get(), rig.counters.log_refused_total.get()), (1, 20));
    rig.show();
    assert_eq!(rig.append(vec![share(&second, &template, 2)]).unwrap().first, Seq(2));
    assert_eq!(rig.counters.log_unwritable.get(), 0);
    assert_eq!(rig.logged(), [(1, "first".to_owned(), 1), (2, "second".to_owned(), 2)]);
    assert_eq!(rig.files().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_header_that_an_earlier_try_left_is_replaced_and_a_file_with_records_never_is() {
    let mut rig = Rig::start(1, ROOM);
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
    let rig = Rig::start(ROOM, ROOM);
    let (line, template) = (line("rig"), template(1));
    assert_eq!(rig.find(0, &[&share(&line, &template, 1)]).unwrap(), [None]);
    assert_eq!(rig.files(), [], "a file is made with its first record");
    rig.append(vec![share(&line, &template, 1)]).unwrap();
    let (files, syncs) = (rig.files(), rig.counters.log_syncs_total.get());
    rig.define(&template).unwrap();
    assert!(rig.find(0, &[&share(&line, &template, 1)]).unwrap()[0].is_some());
    assert_eq!((rig.files(), rig.counters.log_syncs_total.get()), (files, syncs));
}

#[test]
fn beyond_the_backlog_shares_are_refused_and_beyond_an_eighth_more_everything_is() {
    let rig = Rig::start(ROOM, 8_000);
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
    assert_eq!(rig.counters.log_full_total.get(), 3);
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
        counters: Arc::default(),
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
    let rig = Rig::start(ROOM, ROOM);
    let template = template(1);
    let latest = rig.append(vec![share(&line("a"), &template, 1)]).unwrap().minute;
    // This process's file has no share, and the clock is set back by an hour.
    let rig = rig.restart().unwrap();
    rig.define(&crate::testing::template(2)).unwrap();
    rig.clock.fetch_sub(3_600_000, Ordering::Relaxed);
    let rig = rig.restart().unwrap();
    assert_eq!(rig.append(vec![share(&line("a"), &crate::testing::template(3), 2)]).unwrap().minute, latest);
    assert_eq!(rig.counters.log_minutes_ahead.get(), 60);
    rig.clock.fetch_add(3_660_000, Ordering::Relaxed);
    let rig = rig.restart().unwrap();
    let next = rig.append(vec![share(&line("a"), &crate::testing::template(4), 3)]).unwrap().minute;
    assert_eq!((next, rig.counters.log_minutes_ahead.get()), (Minute(latest.0 + 1), 0));
}

#[test]
fn a_clock_that_leaps_ahead_takes_no_share_along() {
    let rig = Rig::start(ROOM, ROOM);
    let (line, template) = (line("a"), template(1));
    let before = rig.append(vec![share(&line, &template, 1)]).unwrap().minute;
    rig.clock.fetch_add(24 * 3_600_000, Ordering::Relaxed);
    let leapt = rig.append(vec![share(&line, &template, 2)]).unwrap().minute;
    rig.clock.fetch_sub(24 * 3_600_000, Ordering::Relaxed);
    let after = rig.append(vec![share(&line, &template, 3)]).unwrap().minute;
    assert!(leapt.0 - before.0 <= 1 && after >= leapt && after.0 - before.0 <= 1, "{before:?} {leapt:?} {after:?}");
}
