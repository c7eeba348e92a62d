//! Share batches: the shares of one fold step, column by column, delta-coded, compressed.
//!
//! Self-contained: a batch carries its own tables of lines (address, worker, origin) and templates (merkle
//! root), so that a share list, an audit or an export needs nothing but the rows.
//!
//! A body is a version byte and an LZ4 block of columns. What it refuses to do: trust a length in a body.
use std::collections::HashMap;

use sha2::{Digest, Sha256};
use units::{Difficulty, Minute, Nonce, Seq, Timestamp};

use crate::fold::IdentityKey;

/// One share of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredShare {
    /// Log position.
    pub seq: Seq,
    /// Index into the batch's lines.
    pub line: u32,
    /// Index into the batch's templates.
    pub template: u32,
    /// The nonce.
    pub nonce: Nonce,
    /// What it is worth.
    pub difficulty: Difficulty,
    /// When it was received.
    pub received_at: Timestamp,
    /// The minute it was booked to.
    pub minute: Minute,
    /// Bit 0: verified before the acknowledgement. Bit 1: its claimed hash met the network target.
    pub flags: u8,
}

/// A decoded batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShareBatch {
    /// Lines that the shares refer to.
    pub lines: Vec<IdentityKey>,
    /// Merkle roots of the templates that the shares refer to, 64 hex digits.
    pub templates: Vec<String>,
    /// In order of `seq`.
    pub shares: Vec<StoredShare>,
}

/// A body that is not an encoded batch.
#[derive(Debug, thiserror::Error)]
#[error("share batch is damaged: {0}")]
pub struct DamagedBatch(pub &'static str);

/// The layout below.
const VERSION: u8 = 1;

/// No batch is larger when decompressed: a fold step is bounded far below it.
const COLUMNS_MAX: usize = 256 * 1024 * 1024;

/// LZ4 cannot expand a byte to more than this.
const EXPANSION_MAX: usize = 256;

/// The shortest share: one byte in each column.
const SHARE_BYTES_MIN: usize = 8;

// === impl ShareBatch ===

impl ShareBatch {
    /// Encodes and compresses.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![VERSION];
        body.extend_from_slice(&lz4_flex::block::compress_prepend_size(&self.columns()));
        body
    }

    /// The inverse of [`ShareBatch::encode`]. Every share's line and template is there.
    ///
    /// # Errors
    /// [`DamagedBatch`] for anything else, whatever the bytes are; never a panic.
    pub fn decode(body: &[u8]) -> std::result::Result<ShareBatch, DamagedBatch> {
        let packed = match body.split_first() {
            Some((&VERSION, packed)) => packed,
            Some(_) => return Err(DamagedBatch("it has an unknown version")),
            None => return Err(DamagedBatch("it is empty")),
        };
        // The length is checked before that much memory is taken.
        let length = packed.first_chunk().map(|length| u32::from_le_bytes(*length));
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or(DamagedBatch("it is cut"))?;
        if length > COLUMNS_MAX.min(packed.len().saturating_mul(EXPANSION_MAX)) {
            return Err(DamagedBatch("its length is impossible"));
        }
        let columns = lz4_flex::block::decompress_size_prepended(packed);
        let columns = columns.map_err(|_| DamagedBatch("it cannot be decompressed"))?;
        if columns.len() != length {
            return Err(DamagedBatch("its length is not what it says"));
        }
        Columns(&columns).batch().ok_or(DamagedBatch("its columns do not fit together"))
    }

    /// SHA-256 over the uncompressed shares, for comparison with the log. Independent of the encoding; lines and
    /// templates count in the order in which the batch has them.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(text);
        };
        for line in &self.lines {
            text(&line.address);
            text(&line.worker);
            text(&hex::encode(line.origin));
        }
        self.templates.iter().for_each(|root| text(root));
        let mut row = Vec::with_capacity(64);
        for share in &self.shares {
            row.clear();
            row.extend_from_slice(&share.seq.0.to_le_bytes());
            row.extend_from_slice(&share.line.to_le_bytes());
            row.extend_from_slice(&share.template.to_le_bytes());
            row.extend_from_slice(&share.nonce.to_le_bytes());
            row.extend_from_slice(&share.difficulty.get().to_le_bytes());
            row.extend_from_slice(&share.received_at.ms().to_le_bytes());
            row.extend_from_slice(&share.minute.0.to_le_bytes());
            row.push(share.flags);
            hash.update(&row);
        }
        hash.finalize().into()
    }

    /// Tables first, then one column after another. Numbers are differences to the share before; nonces and
    /// difficulties to the last share of the same line, since a miner walks through its own range.
    fn columns(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.lines.len() * 128 + self.shares.len() * 16);
        put_length(&mut out, self.lines.len());
        for line in &self.lines {
            put_text(&mut out, &line.address);
            put_text(&mut out, &line.worker);
            out.extend_from_slice(&line.origin);
        }
        put_length(&mut out, self.templates.len());
        self.templates.iter().for_each(|root| put_text(&mut out, root));
        put_length(&mut out, self.shares.len());
        let shares = &self.shares;
        put_differences(&mut out, shares.iter().map(|share| share.seq.0));
        shares.iter().for_each(|share| put_number(&mut out, share.line.into()));
        shares.iter().for_each(|share| put_number(&mut out, share.template.into()));
        put_differences_by_line(&mut out, shares.iter().map(|share| (share.line, share.nonce.get())));
        put_differences_by_line(&mut out, shares.iter().map(|share| (share.line, share.difficulty.get())));
        put_differences(&mut out, shares.iter().map(|share| share.received_at.ms().cast_unsigned()));
        put_differences(&mut out, shares.iter().map(|share| share.minute.0.into()));
        out.extend(shares.iter().map(|share| share.flags));
        out
    }
}

// === writing ===

/// Seven bits a byte, lowest first; the high bit says that more follow.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A difference that may be negative: its sign goes to the lowest bit, so that small ones stay short.
fn put_difference(out: &mut Vec<u8>, from: u64, to: u64) {
    let difference = to.wrapping_sub(from).cast_signed();
    put_number(out, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
}

fn put_differences(out: &mut Vec<u8>, column: impl Iterator<Item = u64>) {
    column.fold(0, |before, value| {
        put_difference(out, before, value);
        value
    });
}

fn put_differences_by_line(out: &mut Vec<u8>, column: impl Iterator<Item = (u32, u64)>) {
    let mut before: HashMap<u32, u64> = HashMap::new();
    for (line, value) in column {
        put_difference(out, before.insert(line, value).unwrap_or(0), value);
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_number(out, u64::try_from(length).unwrap_or(u64::MAX));
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

// === reading ===

/// What is left of the columns. Every method gives `None` for bytes that no encoder wrote.
struct Columns<'a>(&'a [u8]);

impl Columns<'_> {
    fn batch(mut self) -> Option<ShareBatch> {
        let lines = (0..self.length(18)?).map(|_| self.line()).collect::<Option<Vec<IdentityKey>>>()?;
        let templates = (0..self.length(1)?).map(|_| self.text()).collect::<Option<Vec<String>>>()?;
        let count = self.length(SHARE_BYTES_MIN)?;
        let seq = self.differences(count)?;
        let line = self.places(count, lines.len())?;
        let template = self.places(count, templates.len())?;
        let nonce = self.differences_by_line(&line)?;
        let difficulty = self.differences_by_line(&line)?;
        let received_at = self.differences(count)?;
        let minute = self.differences(count)?;
        let flags = self.bytes(count)?;
        if !self.0.is_empty() {
            return None;
        }
        let share = |n: usize| {
            Some(StoredShare {
                seq: Seq(seq[n]),
                line: line[n],
                template: template[n],
                nonce: Nonce::new(nonce[n]),
                difficulty: Difficulty::new(difficulty[n])?,
                received_at: Timestamp::from_ms(received_at[n].cast_signed()),
                minute: Minute(u32::try_from(minute[n]).ok()?),
                flags: flags[n],
            })
        };
        let shares = (0..count).map(share).collect::<Option<Vec<StoredShare>>>()?;
        Some(ShareBatch { lines, templates, shares })
    }

    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// How many things of at least `size` bytes follow; never more than there are bytes for.
    fn length(&mut self, size: usize) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length.checked_mul(size)? <= self.0.len()).then_some(length)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length(1)?;
        String::from_utf8(self.bytes(length)?).ok()
    }

    fn line(&mut self) -> Option<IdentityKey> {
        let (address, worker) = (self.text()?, self.text()?);
        let (origin, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(IdentityKey { address, worker, origin: *origin })
    }

    fn places(&mut self, count: usize, end: usize) -> Option<Vec<u32>> {
        let place = |columns: &mut Self| {
            let place = u32::try_from(columns.number()?).ok()?;
            (usize::try_from(place).ok()? < end).then_some(place)
        };
        (0..count).map(|_| place(self)).collect()
    }

    fn difference(&mut self, before: u64) -> Option<u64> {
        let coded = self.number()?;
        let difference = (coded >> 1) ^ (coded & 1).wrapping_neg();
        Some(before.wrapping_add(difference))
    }

    fn differences(&mut self, count: usize) -> Option<Vec<u64>> {
        let mut before = 0;
        let mut next = || {
            before = self.difference(before)?;
            Some(before)
        };
        (0..count).map(|_| next()).collect()
    }

    fn differences_by_line(&mut self, lines: &[u32]) -> Option<Vec<u64>> {
        let mut before: HashMap<u32, u64> = HashMap::new();
        let mut next = |line: u32| {
            let value = self.difference(before.get(&line).copied().unwrap_or(0))?;
            before.insert(line, value);
            Some(value)
        };
        lines.iter().map(|&line| next(line)).collect()
    }
}

#[cfg(test)]
mod tests;
