//! Records that come into the log again: they were set aside, since the database refused them.
//!
//! They are one frame, so that after a crash all of them are in the log or none. A reader that has checked the frame
//! goes into it: what follows its head are frames like any other. Before each record stands where it was.
use units::{Minute, Seq};

use super::{FRAME_HEAD, RETRIED, decode};
use crate::cursor::Bytes;

/// Bytes before the frames of a [`Retried`].
pub(crate) const RETRIED_HEAD: usize = 32;

/// See [`super::Record::Retried`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried<'a> {
    /// Where the database keeps them.
    pub row: i64,
    /// Where the first of them was.
    pub was: Seq,
    /// Position of the first of them.
    pub first: Seq,
    /// The minute that their shares are booked to.
    pub minute: Minute,
    /// How many positions they take.
    pub count: u32,
    /// Their frames, with the definitions that they refer to.
    pub frames: &'a [u8],
}

impl<'a> Retried<'a> {
    pub(super) fn put(&self, mut put: impl FnMut(&[u8])) {
        put(&self.row.to_le_bytes());
        put(&self.was.0.to_le_bytes());
        put(&self.first.0.to_le_bytes());
        put(&self.minute.0.to_le_bytes());
        put(&self.count.to_le_bytes());
        put(self.frames);
    }

    pub(super) fn read(read: &mut Bytes<'a>) -> Option<Retried<'a>> {
        let (row, was, first) = (read.i64()?, Seq(read.u64()?), Seq(read.u64()?));
        let (minute, count) = (Minute(read.u32()?), read.u32()?);
        let frames = read.take_rest();
        (positions(frames)? == count).then_some(Retried { row, was, first, minute, count, frames })
    }
}

/// How many positions these frames take; `None` unless all of them are whole records. Their checksums do not count: the
/// frame around them has its own.
fn positions(mut frames: &[u8]) -> Option<u32> {
    let mut count = 0u32;
    while !frames.is_empty() {
        let length = usize::try_from(u32::from_le_bytes(*frames.first_chunk()?)).ok()?;
        let (kind, payload) = (*frames.get(FRAME_HEAD - 1)?, frames.get(FRAME_HEAD..FRAME_HEAD.checked_add(length)?)?);
        if kind == RETRIED {
            return None;
        }
        count = count.checked_add(u32::from(decode(kind, payload)?.is_positioned()))?;
        frames = &frames[FRAME_HEAD + length..];
    }
    Some(count)
}
