use units::Seq;

use super::*;
use crate::audit::tests::{Host, log_of, share, verdict};

/// What is found of the first host's log, once these records were folded and then others put in their place.
fn found(folded: Vec<Record<'static>>, after: Vec<Record<'static>>) -> Continuity {
    let host = Host::new();
    host.write(&log_of(folded));
    host.fold();
    let (row, seq) = (host.row(), host.folded());
    host.write(&log_of(after));
    let end = host.log().readable().unwrap().unwrap().seq;
    runtime::block_on(continuity(&host.log(), &host.store, row, seq, end)).unwrap()
}

fn shares(nonces: impl IntoIterator<Item = u64>) -> Vec<Record<'static>> {
    nonces.into_iter().map(share).collect()
}

fn parted(agrees: u64) -> Continuity {
    Continuity::Parted { agrees: Seq(agrees) }
}

#[test]
fn a_log_that_goes_on_is_whole() {
    assert_eq!(found(shares(1..=3), shares(1..=3)), Continuity::Whole);
    assert_eq!(found(shares(1..=3), shares(1..=9)), Continuity::Whole);
    // What the database does not keep share by share says nothing.
    assert_eq!(found(vec![share(1), verdict(1)], vec![share(1), verdict(1), share(2)]), Continuity::Whole);
}

#[test]
fn a_log_that_ends_before_the_database_has_parted_at_its_end() {
    assert_eq!(found(shares(1..=5), shares(1..=3)), parted(3));
}

#[test]
fn a_log_that_has_other_shares_at_the_same_positions_has_parted_before_them() {
    assert_eq!(found(shares(1..=5), shares([1, 2, 13, 14])), parted(2));
    assert_eq!(found(shares(1..=5), shares([1, 2, 13, 14, 15, 16, 17])), parted(2));
    assert_eq!(found(shares(1..=5), shares(11..=20)), parted(0));
}

#[test]
fn a_log_whose_files_are_gone_has_parted_at_the_beginning() {
    let host = Host::new();
    host.write(&log_of(shares(1..=3)));
    host.fold();
    for file in host.log().files().unwrap() {
        std::fs::remove_file(file.path).unwrap();
    }
    let found = runtime::block_on(continuity(&host.log(), &host.store, host.row(), host.folded(), Seq::ZERO)).unwrap();
    assert_eq!(found, parted(0));
}

#[test]
fn what_a_parted_log_has_of_its_own_is_folded_under_the_new_name_and_nothing_twice() {
    let host = Host::new();
    host.write(&log_of(shares(1..=5)));
    host.fold();
    let old = host.row();
    // Put back after the second share, and gone on by a program that did not look.
    host.write(&log_of(vec![share(1), share(2), share(13), verdict(1), share(14)]));
    let now = units::Timestamp::from_ms(1_795_000_000_000);
    runtime::block_on(async {
        let found = continuity(&host.log(), &host.store, old, Seq(5), Seq(5)).await.unwrap();
        assert_eq!(found, parted(2));
        host.store.host_replace("h2", old, Seq(2), now).await.unwrap();
        crate::set_host_name(&host.log(), "h2").unwrap();
    });
    host.fold();
    let rows = runtime::block_on(host.store.host_list()).unwrap();
    assert_eq!(
        rows.iter().map(|(_, name, folded)| (name.as_str(), folded.0)).collect::<Vec<_>>(),
        [("h1", 5), ("h2", 5)]
    );
    let booked = runtime::block_on(host.store.batch_list(rows[1].0, Seq::ZERO, 9)).unwrap();
    assert_eq!(booked.iter().map(|row| row.shares).sum::<u64>(), 2);
    assert_eq!(host.audit().differences, []);
    assert_eq!(runtime::block_on(host.store.audit_shares()).unwrap(), []);
}
