use chain::{Address, HeaderBase, Network};
use messages::conditions::ConditionKind;
use units::{Difficulty, Minute, Nonce, PolicyId, Seq, Timestamp};

use crate::audit::tests::{HEADER, Host, log_of, share, verdict};
use share_log::record::{CandidateRecord, IdentityDefinition, Record, RejectsRecord, Share, VerdictRecord};

const NOW: Timestamp = Timestamp::from_ms(1_795_000_000_000);

fn folded(host: &Host) -> (u64, u64) {
    (host.folded().0, host.metrics.log_unreadable.get())
}

/// Records that refer to a line or a template that was not defined.
fn strangers() -> Vec<Record<'static>> {
    let Record::Share(known) = share(2) else { unreachable!() };
    let (minute, difficulty, nonce, received_at) = (Minute(29_916_666), Difficulty::ONE, Nonce::new(1), NOW);
    let candidate = |line, template| CandidateRecord { share: Seq(1), line, template, nonce, received_at };
    vec![
        Record::Share(Share { line: 9, ..known }),
        Record::Share(Share { template: 9, ..known }),
        Record::Verdict(VerdictRecord { share: Seq(1), minute, line: 9, difficulty, verdict: 0 }),
        Record::Candidate(candidate(9, 2)),
        Record::Candidate(candidate(1, 9)),
        Record::Rejects(RejectsRecord { line: 9, minute, count: 1, reason: "stale job" }),
    ]
}

#[test]
fn a_record_that_cannot_be_attributed_is_damage_and_nothing_behind_it_is_folded() {
    for stranger in strangers() {
        let host = Host::new();
        let what = format!("{stranger:?}");
        host.write(&log_of(vec![share(1), stranger, share(3)]));
        host.fold();
        assert_eq!(folded(&host), (1, 1), "{what}");
        host.fold();
        assert_eq!(folded(&host), (1, 1), "{what}, again");
        // The file is restored.
        host.write(&log_of(vec![share(1), share(2), share(3)]));
        host.fold();
        assert_eq!(folded(&host), (3, 0), "{what}, restored");
        assert_eq!(host.audit().differences, []);
    }
}

#[test]
fn an_unreadable_record_is_damage_and_what_is_before_it_is_folded() {
    let host = Host::new();
    host.write(&log_of(vec![share(1), share(2)]));
    let file = host.log().files().unwrap().remove(0);
    let mut bytes = std::fs::read(&file.path).unwrap();
    let durable = host.log().readable().unwrap().unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&file.path, bytes).unwrap();
    host.fold_until(durable);
    assert_eq!(folded(&host), (1, 1));
}

#[test]
fn books_behind_the_oldest_file_are_a_condition_until_the_gap_is_given_up() {
    let host = Host::new();
    host.write(&log_of(vec![share(1), share(2)]));
    host.fold();
    // The database is put back to here, while the log has gone on and lost its first file.
    host.write_from(7, &log_of(vec![share(7), verdict(5), share(8)]));
    host.fold();
    assert_eq!(folded(&host), (2, 0), "it is not damaged");
    let said = host.conditions.list();
    assert_eq!(said.iter().map(|one| one.kind).collect::<Vec<_>>(), [ConditionKind::LogGap]);
    assert!(
        said[0].detail.contains("positions 3 to 6") && said[0].detail.contains("accept-gap h1"),
        "{}",
        said[0].detail
    );
    runtime::block_on(host.store.gap_accept(host.row(), Seq(2), Seq(7), NOW)).unwrap();
    host.fold();
    assert_eq!((folded(&host), host.conditions.list()), ((9, 0), Vec::new()));
    assert_eq!(host.audit().differences, []);
    assert_eq!(runtime::block_on(host.store.audit_shares()).unwrap(), []);
}

#[test]
fn a_policy_that_an_older_database_does_not_know_stops_no_fold() {
    let host = Host::new();
    let (line, template, nonce) = (1, 2, Nonce::new(1));
    let candidate = CandidateRecord { share: Seq(1), line, template, nonce, received_at: NOW };
    host.write_under(Some(PolicyId(9)), 1, &log_of(vec![share(1), Record::Candidate(candidate)]));
    host.fold();
    let hash = HeaderBase::from_bytes(HEADER).block_id(nonce).to_string();
    let block = runtime::block_on(host.store.block_find(&hash)).unwrap().unwrap();
    assert_eq!((folded(&host), block.policy), ((2, 0), PolicyId(1)), "the present one prices it");
}

#[test]
fn a_window_reaches_back_to_where_shares_are_booked_whatever_the_clock_says() {
    let window = |found_at: Timestamp| {
        let host = Host::new();
        let (line, template, nonce) = (1, 2, Nonce::new(1));
        let candidate = CandidateRecord { share: Seq(1), line, template, nonce, received_at: found_at };
        host.write(&log_of(vec![share(1), Record::Candidate(candidate)]));
        host.fold();
        let hash = HeaderBase::from_bytes(HEADER).block_id(nonce).to_string();
        let block = runtime::block_on(host.store.block_find(&hash)).unwrap().unwrap();
        assert_eq!((block.found_at, block.policy), (found_at, PolicyId(1)));
        block.window_start
    };
    let hour = std::time::Duration::from_secs(3600);
    // The share is booked to the minute of the find, or the clock has leapt by a day.
    assert_eq!(window(NOW), NOW.minus(hour));
    assert_eq!(window(NOW.plus(24 * hour)), Minute(NOW.minute().0 + 1).start().minus(hour));
    // A clock that was set back makes windows longer, not shorter.
    assert_eq!(window(NOW.minus(24 * hour)), NOW.minus(25 * hour));
}

#[test]
fn shares_that_were_logged_under_both_forms_of_an_address_are_one_miners() {
    let text = "Sw9ZxmQoHf8NkyhcTc9iuauBWp1jbKy1ivUSsUMykWUnkJfKZGoafdhC6trx8FchdUr5kCFEfgjZS4PYJZqwAMroU2ftr";
    let legacy: &str = Address::parse(text, &Network::Mainnet).unwrap().legacy_text().leak();
    let host = Host::new();
    let line =
        |local_id, address| Record::Identity(IdentityDefinition { local_id, origin: [7; 16], address, worker: "rig" });
    let of = |line, nonce| match share(nonce) {
        Record::Share(share) => Record::Share(Share { line, ..share }),
        other => other,
    };
    host.write(&log_of(vec![line(8, legacy), line(9, text), of(8, 1), of(9, 2), of(8, 3), of(9, 4)]));
    host.fold();
    assert_eq!(folded(&host), (4, 0));
    let summary = |address: &str| runtime::block_on(host.store.miner_summary(address, Minute(0))).unwrap();
    assert!(summary(legacy).is_none());
    let workers = summary(text).unwrap().workers;
    assert_eq!(workers.iter().map(|worker| (worker.worker.as_str(), worker.shares)).collect::<Vec<_>>(), [("rig", 4)]);
    assert_eq!(host.audit().differences, []);
    assert_eq!(runtime::block_on(host.store.audit_shares()).unwrap(), []);
}
