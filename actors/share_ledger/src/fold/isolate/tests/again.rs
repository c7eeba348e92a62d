//! What was set aside is appended to the log again: booked once, whatever dies when.
use units::Amount;

use super::*;

#[test]
fn what_is_appended_again_is_appended_once_whatever_dies_when() {
    let mut rig = TestLog::new(mixed());
    rig.refuse("refusal", "INSERT ON worker_identities", "NEW.worker = 'Рига'");
    rig.fold();
    rig.mend(&["refusal"]);
    runtime::block_on(rig.host.store.set_aside_retry(None, NOW)).unwrap();
    // Offered, and then the process dies before anything is written.
    rig.fold();
    rig.restart();
    rig.fold();
    // Written, and the process dies before it is folded.
    assert!(rig.append());
    let end = rig.host.log().readable().unwrap().unwrap();
    assert_eq!(end.seq, Seq(14));
    rig.fold();
    assert!(!rig.append(), "it is not offered again");
    assert_eq!((rig.host.folded(), rig.nonces()), (Seq(14), vec![1, 2, 3, 4, 5]));
    // Its shares are booked to the minute in which they came again, its verdict with them.
    let judged = runtime::block_on(rig.host.store.verdict_list(units::HostId(1), Seq(1), Seq(20))).unwrap();
    assert!(judged.contains(&(Seq(11), "voided".to_owned(), Seq(12))), "{judged:?}");
    rig.assert_clean();
    // A torn tail takes all of it, and it is offered again.
    let mut torn = TestLog::new(mixed());
    torn.refuse("refusal", "INSERT ON worker_identities", "NEW.worker = 'Рига'");
    torn.fold();
    torn.mend(&["refusal"]);
    runtime::block_on(torn.host.store.set_aside_retry(None, NOW)).unwrap();
    torn.fold();
    assert!(torn.append());
    let file = torn.host.log().files().unwrap().pop().unwrap();
    let length = std::fs::metadata(&file.path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&file.path).unwrap().set_len(length - 1).unwrap();
    assert_eq!(torn.host.log().recover().unwrap().next_seq, Seq(11));
    torn.restart();
    torn.fold();
    assert!(torn.append());
    torn.fold();
    assert_eq!(torn.nonces(), [1, 2, 3, 4, 5]);
    torn.assert_clean();
}

#[test]
fn what_is_refused_again_is_set_aside_again_and_verdicts_find_it() {
    let mut rig = TestLog::new(mixed());
    rig.refuse("refusal", "INSERT ON worker_identities", "NEW.worker = 'Рига'");
    rig.fold();
    rig.retry();
    assert_eq!(rig.aside(), [("line".to_owned(), 4)], "they wait for a record that goes in");
    assert!(rig.has(ConditionKind::FoldStopped));
    append(&rig, &rejects(GOOD, "stale job"));
    rig.restart();
    rig.fold();
    assert_eq!((rig.aside(), rig.has(ConditionKind::FoldStopped)), (vec![("line".to_owned(), 4)], false));
    rig.assert_clean();
    // A verdict that comes late, on where the share was at first.
    append(&rig, &verdict(BAD, 7, 1));
    rig.restart();
    rig.fold();
    assert_eq!(rig.aside(), [("line".to_owned(), 5)]);
    rig.assert_clean();
    rig.mend(&["refusal"]);
    rig.retry();
    assert_eq!((rig.aside(), rig.nonces()), (vec![], vec![1, 2, 3, 4, 5]));
    rig.assert_clean();
    append(&rig, &verdict(BAD, 2, 1));
    rig.restart();
    rig.fold();
    rig.assert_clean();
}

#[test]
fn records_that_come_again_into_books_that_never_set_them_aside_are_passed_over() {
    let mut rig = TestLog::new(mixed());
    rig.refuse("refusal", "INSERT ON worker_identities", "NEW.worker = 'Рига'");
    rig.fold();
    rig.mend(&["refusal"]);
    rig.retry();
    let other = TestLog { host: Host::new(), progress: Arc::clone(&rig.progress) };
    for file in rig.host.log().files().unwrap() {
        std::fs::copy(&file.path, other.host.log().path().join(file.path.file_name().unwrap())).unwrap();
    }
    other.fold();
    assert_eq!((other.host.folded(), other.nonces()), (Seq(14), vec![1, 2, 3, 4, 5]));
    other.assert_clean();
}

#[test]
fn templates_of_what_comes_again_are_known_once() {
    let template = TemplateDefinition {
        local_id: 9,
        header_base: &HEADER,
        target: &[6; 32],
        reward: Amount::from_atoms(1).unwrap(),
        fetched_at: NOW,
        daemon_id: "",
        reward_address: "",
        block: "",
    };
    let again = |nonce| match share(GOOD, nonce, 0) {
        Record::Share(share) => Record::Share(Share { template: 9, ..share }),
        other => other,
    };
    let rig = TestLog::new(vec![share(GOOD, 1, 0), Record::Template(template), again(2), share(GOOD, 3, 0)]);
    rig.fold();
    assert_eq!(rig.nonces(), [1, 2, 3]);
    rig.assert_clean();
}
