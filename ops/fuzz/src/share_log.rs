//! The share log's bytes and files.
use std::fs;
use std::io::Write;

use arbitrary::Unstructured;
use share_log::record::{
    CandidateRecord, FileHead, IdentityDefinition, Record, RejectsRecord, Share, TemplateDefinition, VerdictRecord,
};
use share_log::{Durable, Frame, LogDirectory, LogError, LogReader, Step, frame};
use units::{Amount, Difficulty, Minute, Nonce, Seq, Timestamp};

use crate::draw;

/// The file that single frames belong to.
const FILE: u64 = 7;

/// Any bytes are frames or broken; what is read is written back to the same bytes; of a log that was cut or damaged
/// a prefix is read.
pub fn log(data: &[u8]) {
    walk(data);
    walk(&framed(data));
    let mut input = Unstructured::new(data);
    let (place, flip): (u16, Option<u8>) = draw(&mut input);
    let records = made_up(&mut input);
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.encode(FILE, &mut bytes));
    assert_eq!(walk(&bytes), records);
    let place = usize::from(place) % bytes.len().max(1);
    match flip {
        Some(bit) if !bytes.is_empty() => bytes[place] ^= 1 << (bit % 8),
        _ => bytes.truncate(place),
    }
    let read = walk(&bytes);
    assert!(records.starts_with(&read) && (read.len() < records.len() || records.is_empty()));
}

/// The records up to the first bytes that are none.
fn walk(bytes: &[u8]) -> Vec<Record<'_>> {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Frame::Whole(record, taken) = frame(FILE, &bytes[at..]) {
        let mut again = Vec::new();
        record.encode(FILE, &mut again);
        // What is in a record of records is read again, frame by frame.
        assert_eq!(again, bytes[at..at + again.len()], "{record:?} has one form");
        records.push(record);
        at += taken;
    }
    records
}

/// The bytes cut into payloads (kind, length, that many bytes), each with the checksum that is right for it.
fn framed(mut data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [kind, length, rest @ ..] = data {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        let mut crc = crc32fast::Hasher::new();
        crc.update(&FILE.to_le_bytes());
        crc.update(&[*kind]);
        crc.update(payload);
        bytes.extend_from_slice(&[*length, 0, 0, 0]);
        bytes.extend_from_slice(&crc.finalize().to_le_bytes());
        bytes.push(*kind);
        bytes.extend_from_slice(payload);
        data = rest;
    }
    bytes
}

fn made_up<'a>(input: &mut Unstructured<'a>) -> Vec<Record<'a>> {
    let mut records = Vec::new();
    let mut ordinal = 0;
    while !input.is_empty() && records.len() < 64 {
        let (line, template, nonce, time): (u32, u32, u64, i64) = draw(input);
        let (nonce, received_at, minute) = (Nonce::new(nonce), Timestamp::from_ms(time), Minute(template));
        let difficulty = Difficulty::new(nonce.get()).unwrap_or(Difficulty::ONE);
        records.push(match draw::<u8>(input) % 8 {
            0 | 1 => {
                ordinal += 1;
                Record::Commit { ordinal }
            }
            2 => Record::Identity(IdentityDefinition {
                local_id: line,
                origin: draw(input),
                address: draw(input),
                worker: draw(input),
            }),
            3 => Record::Template(TemplateDefinition {
                local_id: template,
                header_base: &[5; 92],
                target: &[6; 32],
                reward: Amount::from_atoms(nonce.get() >> 1).expect("within 63 bits"),
                fetched_at: received_at,
                daemon_id: draw(input),
                reward_address: draw(input),
                block: draw(input),
            }),
            4 => Record::Verdict(VerdictRecord { share: Seq(nonce.get()), minute, line, difficulty, verdict: 2 }),
            5 => Record::Candidate(CandidateRecord { share: Seq(nonce.get()), line, template, nonce, received_at }),
            6 => Record::Rejects(RejectsRecord { line, minute, count: template, reason: draw(input) }),
            _ => Record::Share(Share { line, template, nonce, difficulty, received_at, minute, flags: 3 }),
        });
    }
    records
}

// === files ===

/// A log of one or two files whose newest lost its tail, or a bit: recovery finds the end, cuts no synced commit, and
/// what is left is read as the records that were written first.
pub fn files(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (place, flip, older): (u16, Option<u8>, bool) = draw(&mut input);
    let records = made_up(&mut input);
    let place_of = tempfile::tempdir().expect("a temporary directory");
    let log = LogDirectory::open(place_of.path()).expect("a directory of our own");
    let (old, new) = records.split_at(if older { records.len() / 2 } else { 0 });
    let mut base = Seq(1);
    if older {
        write(&log, 1, base, old);
        base = base.plus(positioned(old));
    }
    let number = if older { 2 } else { 1 };
    let (mut bytes, synced) = write(&log, number, base, new);
    let path = log.files().expect("files").last().expect("a file").path.clone();
    let place = usize::from(place) % bytes.len();
    match flip {
        Some(bit) => bytes[place] ^= 1 << (bit % 8),
        None => bytes.truncate(place),
    }
    fs::write(&path, &bytes).expect("a damaged file");

    let end = match log.recover() {
        Ok(end) => end,
        Err(LogError::Damaged { .. }) => {
            assert!(flip.is_some(), "a torn tail is never damage");
            return assert_eq!(fs::read(&path).expect("the file"), bytes, "damage is left as it is");
        }
        Err(error) => panic!("{error}"),
    };
    let read = read_all(&log);
    let written: Vec<String> = records.iter().map(|record| format!("{record:?}")).collect();
    assert!(written.starts_with(&read), "what is left is what was written first");
    if flip.is_some() {
        assert!(read.len() >= old.len() + synced, "a synced commit was cut");
    }
    assert_eq!(end.next_seq, Seq(1).plus(positioned(&records[..read.len()])));
    let again = log.recover().expect("a recovered log");
    assert_eq!((again.next_seq, again.cut_bytes), (end.next_seq, 0), "a second look finds nothing to cut");
}

/// Writes a file; returns its bytes, and how many of the records lie before its last commit mark.
fn write(log: &LogDirectory, number: u64, base: Seq, records: &[Record<'_>]) -> (Vec<u8>, usize) {
    let head = FileHead { number, base, ..FileHead::default() };
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.encode(number, &mut bytes));
    log.create(head).expect("a new file").write_all(&bytes).expect("room for it");
    let mark = records.iter().rposition(|record| matches!(record, Record::Commit { .. })).unwrap_or(0);
    ([&head.encode()[..], &bytes].concat(), mark)
}

fn positioned(records: &[Record<'_>]) -> u64 {
    records.iter().filter(|record| record.is_positioned()).count() as u64
}

/// All records of a recovered log, printed.
fn read_all(log: &LogDirectory) -> Vec<String> {
    let files = log.files().expect("files");
    let Some(newest) = files.last() else { return Vec::new() };
    let length = fs::metadata(&newest.path).expect("a file").len();
    let durable = Durable { file: newest.number, offset: length, seq: Seq(u64::MAX) };
    let mut reader = LogReader::open_oldest(log).expect("a readable head").expect("a file");
    let mut records = Vec::new();
    loop {
        match reader.next(durable).expect("a recovered log is readable") {
            Step::Record(_, record) => records.push(format!("{record:?}")),
            Step::NewFile => {}
            Step::End => return records,
        }
    }
}
