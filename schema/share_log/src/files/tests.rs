use super::*;
use units::{Difficulty, Nonce, Timestamp};

use crate::record::Share;

fn share(nonce: u64, minute: u32) -> Record<'static> {
    Record::Share(Share {
        line: 1,
        template: 1,
        nonce: Nonce::new(nonce),
        difficulty: Difficulty::ONE,
        received_at: Timestamp::from_ms(0),
        minute: Minute(minute),
        flags: 0,
    })
}

/// A directory whose only file holds these commits of shares; returns where each commit begins and the end.
fn written(commits: &[u64]) -> (tempfile::TempDir, LogDirectory, Vec<usize>) {
    let place = tempfile::tempdir().unwrap();
    let log = LogDirectory::open(place.path()).unwrap();
    let mut file = log.create(FileHead { number: 1, base: Seq(1), ..FileHead::default() }).unwrap();
    let (mut bytes, mut marks) = (Vec::new(), vec![FILE_HEAD]);
    for (ordinal, shares) in (1..).zip(commits) {
        Record::Commit { ordinal }.encode(1, &mut bytes);
        (0..*shares).for_each(|nonce| share(nonce, 7).encode(1, &mut bytes));
        marks.push(FILE_HEAD + bytes.len());
    }
    file.write_all(&bytes).unwrap();
    (place, log, marks)
}

fn edit(log: &LogDirectory, change: impl FnOnce(&mut Vec<u8>)) {
    let path = &log.files().unwrap()[0].path;
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_empty_directory_starts_at_the_first_position() {
    let place = tempfile::tempdir().unwrap();
    let end = LogDirectory::open(place.path()).unwrap().recover().unwrap();
    assert_eq!((end.next_file, end.next_seq), (1, Seq(1)));
}

#[test]
fn writing_goes_on_after_the_last_record() {
    let (_place, log, _) = written(&[3, 2]);
    let end = log.recover().unwrap();
    assert_eq!(end, LogEnd { next_file: 2, next_seq: Seq(6), minute: Minute(7), cut_bytes: 0 });
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_kept_aside() {
    let (_place, _, marks) = written(&[2, 2]);
    for length in marks[1] + 1..marks[2] {
        let (_place, log, marks) = written(&[2, 2]);
        edit(&log, |bytes| bytes.truncate(length));
        let end = log.recover().unwrap();
        assert!((3..=4).contains(&end.next_seq.0), "{length}: {end:?}");
        assert!(fs::metadata(&log.files().unwrap()[0].path).unwrap().len() >= marks[1] as u64);
        assert_eq!(log.recover().unwrap().cut_bytes, 0, "a second look finds nothing to cut");
    }
}

#[test]
fn a_hole_in_the_last_commit_is_torn_even_if_frames_follow_it() {
    let (_place, log, marks) = written(&[2, 3]);
    edit(&log, |bytes| bytes[marks[1] + 20..marks[1] + 30].fill(0));
    let end = log.recover().unwrap();
    assert_eq!(end.next_seq, Seq(3));
    assert!(end.cut_bytes > 0);
}

#[test]
fn damage_in_a_synced_commit_is_refused_and_nothing_is_cut() {
    let (_place, log, marks) = written(&[2, 3]);
    edit(&log, |bytes| bytes[marks[0] + 20] ^= 1);
    let before = fs::read(&log.files().unwrap()[0].path).unwrap();
    let error = log.recover().unwrap_err();
    assert!(error.to_string().contains("00000000000000000001.log is damaged at byte"), "{error}");
    assert_eq!(fs::read(&log.files().unwrap()[0].path).unwrap(), before);
}

#[test]
fn a_file_that_died_before_its_header_leaves_the_end_where_it_was() {
    let (_place, log, _) = written(&[3]);
    fs::write(log.path().join("00000000000000000002.log"), [0; 5]).unwrap();
    let end = log.recover().unwrap();
    assert_eq!((end.next_file, end.next_seq), (3, Seq(4)));
}

/// What recovery finds in files of these headers and shares' minutes, each with one commit.
fn found(files: &[(Vec<u8>, &[u32])]) -> LogEnd {
    let place = tempfile::tempdir().unwrap();
    let log = LogDirectory::open(place.path()).unwrap();
    for (number, (head, minutes)) in (1..).zip(files) {
        let mut bytes = head.clone();
        Record::Commit { ordinal: 1 }.encode(number, &mut bytes);
        minutes.iter().for_each(|minute| share(0, *minute).encode(number, &mut bytes));
        fs::write(log.path().join(format!("{number:020}.log")), bytes).unwrap();
    }
    log.recover().unwrap()
}

fn head(number: u64, base: u64, minute: u32) -> Vec<u8> {
    FileHead { number, base: Seq(base), minute: Minute(minute), policy: None }.encode().to_vec()
}

fn first_head(number: u64, base: u64) -> Vec<u8> {
    crate::record::tests::first_format(number, Seq(base), 0).to_vec()
}

#[test]
fn the_latest_minute_is_known_by_a_file_without_shares() {
    assert_eq!(found(&[(head(1, 1, 0), &[5, 7]), (head(2, 3, 7), &[])]).minute, Minute(7));
    assert_eq!(found(&[(head(1, 1, 0), &[5]), (head(2, 2, 5), &[9])]).minute, Minute(9));
}

#[test]
fn files_of_the_first_format_are_read_and_the_last_share_says_the_minute() {
    let end = found(&[(first_head(1, 1), &[5, 7]), (first_head(2, 3), &[]), (first_head(3, 3), &[])]);
    assert_eq!((end.minute, end.next_seq, end.next_file), (Minute(7), Seq(3), 4));
    assert_eq!(found(&[(first_head(1, 1), &[])]).minute, Minute(0));
}

/// Whether recovery writes the file of this number again: to the system its bytes may look written and not be.
fn is_written_again(log: &LogDirectory, number: u64) -> bool {
    let path = log.path().join(format!("{number:020}.log"));
    let past = std::time::SystemTime::UNIX_EPOCH;
    File::options().write(true).open(&path).unwrap().set_modified(past).unwrap();
    let before = fs::read(&path).unwrap();
    log.recover().unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::metadata(&path).unwrap().modified().unwrap() > past
}

#[test]
fn what_counts_of_the_last_commit_is_written_again() {
    let (_place, log, _) = written(&[3, 2]);
    assert!(is_written_again(&log, 1));
    // Also where the newest file died before its header.
    fs::write(log.path().join("00000000000000000002.log"), [0; 5]).unwrap();
    assert!(is_written_again(&log, 1));
}

#[test]
fn a_directory_is_made_with_all_that_leads_to_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data/pool/log");
    assert_eq!(LogDirectory::open(&path).unwrap().files().unwrap(), []);
    assert!(path.is_dir());
    LogDirectory::open(&path).unwrap();
}
