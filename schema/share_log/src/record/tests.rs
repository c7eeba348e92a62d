use super::*;
use crate::{Frame, frame};
use proptest::prelude::*;

fn share(nonce: u64) -> Record<'static> {
    Record::Share(Share {
        line: 3,
        template: 4,
        nonce: Nonce::new(nonce),
        difficulty: Difficulty::new(60).unwrap(),
        received_at: Timestamp::from_ms(1_795_417_478_000),
        minute: Minute(29_923_624),
        flags: CLAIMS_BLOCK,
    })
}

fn every_kind() -> Vec<Record<'static>> {
    vec![
        Record::Commit { ordinal: 9 },
        Record::Identity(IdentityDefinition { local_id: 1, origin: [7; 16], address: "Sw9Z", worker: "rig é" }),
        Record::Template(TemplateDefinition {
            local_id: 2,
            header_base: &[5; 92],
            target: &[6; 32],
            reward: Amount::from_atoms(72_325_093_035).unwrap(),
            fetched_at: Timestamp::from_ms(-1),
            daemon_id: "",
            reward_address: "UKSV",
            block: "{\"header\":{}}",
        }),
        share(u64::MAX),
        Record::Verdict(VerdictRecord {
            share: Seq(8),
            minute: Minute(1),
            line: 1,
            difficulty: Difficulty::ONE,
            verdict: 2,
        }),
        Record::Candidate(CandidateRecord {
            share: Seq(8),
            line: 1,
            template: 2,
            nonce: Nonce::new(1),
            received_at: Timestamp::from_ms(5),
        }),
        Record::Rejects(RejectsRecord { line: 1, minute: Minute(2), count: 3, reason: "stale job" }),
    ]
}

#[test]
fn every_kind_of_record_is_read_back() {
    let mut bytes = Vec::new();
    for record in every_kind() {
        record.encode(7, &mut bytes);
    }
    let mut rest = &bytes[..];
    for record in every_kind() {
        let Frame::Whole(read, taken) = frame(7, rest) else { panic!("{record:?}") };
        assert_eq!(read, record);
        rest = &rest[taken..];
    }
    assert_eq!(frame(7, rest), Frame::End);
}

#[test]
fn a_share_costs_46_bytes() {
    let mut bytes = Vec::new();
    share(1).encode(1, &mut bytes);
    assert_eq!(bytes.len(), 46);
}

#[test]
fn a_frame_of_another_file_is_broken() {
    let mut bytes = Vec::new();
    share(1).encode(1, &mut bytes);
    assert_eq!(frame(2, &bytes), Frame::Broken);
}

#[test]
fn a_file_head_is_read_back_and_a_damaged_one_is_not() {
    for policy in [None, Some(PolicyId(300))] {
        let head = FileHead { number: 12, base: Seq(77), minute: Minute(29_916_666), policy };
        assert_eq!(FileHead::decode(&head.encode()), Some((head, FILE_HEAD)));
        for at in 0..FILE_HEAD {
            let mut bytes = head.encode();
            bytes[at] ^= 1;
            assert_eq!(FileHead::decode(&bytes), None, "byte {at}");
            assert_eq!(FileHead::decode(&head.encode()[..at]), None, "{at} bytes");
        }
    }
}

/// A header as the first format had it.
pub(crate) fn first_format(number: u64, base: Seq, policy: u32) -> [u8; FILE_HEAD_1] {
    let mut out = [0; FILE_HEAD_1];
    out[..8].copy_from_slice(MAGIC_1);
    out[8..16].copy_from_slice(&number.to_le_bytes());
    out[16..24].copy_from_slice(&base.0.to_le_bytes());
    out[28..].copy_from_slice(&policy.to_le_bytes());
    let crc = first_checksum(&out);
    out[24..28].copy_from_slice(&crc.to_le_bytes());
    out
}

#[test]
fn a_file_head_of_the_first_format_is_read() {
    for policy in [None, Some(PolicyId(300))] {
        let bytes = first_format(12, Seq(77), policy.map_or(0, |policy| u32::try_from(policy.0).unwrap()));
        let head = FileHead { number: 12, base: Seq(77), policy, ..FileHead::default() };
        assert_eq!(FileHead::decode(&bytes), Some((head, 32)));
        assert_eq!(FileHead::decode(&bytes[..31]), None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_or_broken_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _frame = frame(1, &bytes);
    }

    #[test]
    fn a_flipped_bit_breaks_the_frame(nonce: u64, at in 0usize..46, bit in 0u8..8) {
        let mut bytes = Vec::new();
        share(nonce).encode(1, &mut bytes);
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(frame(1, &bytes), Frame::Broken);
    }
}
