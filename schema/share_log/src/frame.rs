//! Frames: the bytes around a record, checked before anything in them is believed.
use crate::cursor::Bytes;
use crate::record::{FRAME_HEAD, PAYLOAD_MAX, Record, checksum, decode};

/// What stands at a place of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A record, and how many bytes it takes; of a [`Record::Retried`] those before its first frame.
    Whole(Record<'a>, usize),
    /// No bytes are left.
    End,
    /// Bytes that are not a whole, valid frame.
    Broken,
}

/// Reads the frame at the start of `bytes`, of file `number`.
#[must_use]
pub fn frame(number: u64, bytes: &[u8]) -> Frame<'_> {
    if bytes.is_empty() {
        return Frame::End;
    }
    let Some((kind, payload)) = checked_payload(number, bytes) else { return Frame::Broken };
    match decode(kind, payload) {
        Some(record) => {
            let advance = record.advance(FRAME_HEAD + payload.len());
            Frame::Whole(record, advance)
        }
        None => Frame::Broken,
    }
}

/// Bytes of the frame at the start of `bytes` if it is whole and its CRC is right.
#[must_use]
pub(crate) fn frame_length(number: u64, bytes: &[u8]) -> Option<usize> {
    checked_payload(number, bytes).map(|(_, payload)| FRAME_HEAD + payload.len())
}

/// The record in a frame that [`frame_length`] has checked; `None` for one that no writer of ours made.
#[must_use]
pub(crate) fn whole_frame(frame: &[u8]) -> Option<Record<'_>> {
    decode(*frame.get(FRAME_HEAD - 1)?, frame.get(FRAME_HEAD..)?)
}

fn checked_payload(number: u64, bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut head = Bytes::of(bytes);
    let (length, crc, kind) = (usize::try_from(head.u32()?).ok()?, head.u32()?, head.u8()?);
    if length > PAYLOAD_MAX {
        return None;
    }
    let payload = head.rest().get(..length)?;
    (checksum(number, bytes.get(8..FRAME_HEAD + length)?) == crc).then_some((kind, payload))
}
