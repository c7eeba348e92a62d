//! The bytes of the share log.
//!
//! A file is a header and then frames: `payload length u32 | crc32 u32 | kind u8 | payload`, little-endian.
//! The CRC covers kind and payload and is seeded with the file's number, so that bytes left over from
//! another file never look like a frame. Definitions and commit marks have no position; everything else
//! has the position after the one before it.
//!
//! Decoding never trusts a length and never panics.
use units::{Amount, Difficulty, Minute, Nonce, PolicyId, Seq, Timestamp};

mod retried;

use crate::cursor::Bytes;
use retried::RETRIED_HEAD;
pub use retried::Retried;

/// Bytes before a payload.
pub const FRAME_HEAD: usize = 9;
/// No frame is larger: a template carries a whole block as JSON.
pub const PAYLOAD_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a new file's header.
pub const FILE_HEAD: usize = 40;
const MAGIC: &[u8; 8] = b"MESHLOG2";
/// The first format, which knew no minute and is still read.
const MAGIC_1: &[u8; 8] = b"MESHLOG1";
const FILE_HEAD_1: usize = 32;

const COMMIT: u8 = 1;
const LINE: u8 = 2;
const TEMPLATE: u8 = 3;
const SHARE: u8 = 4;
const VERDICT: u8 = 5;
const CANDIDATE: u8 = 6;
const REJECTS: u8 = 7;
const RETRIED: u8 = 8;
const AT: u8 = 9;

/// Bit of [`Share::flags`]: the hash was recomputed before the acknowledgement.
pub const VERIFIED: u8 = 1;
/// Bit of [`Share::flags`]: the claimed hash meets the network target.
pub const CLAIMS_BLOCK: u8 = 2;

/// The start of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileHead {
    /// The file's number, from 1.
    pub number: u64,
    /// Position of its first positioned record.
    pub base: Seq,
    /// No share in an earlier file is booked to a later minute; 0 when that is not known.
    pub minute: Minute,
    /// Prices the blocks that are found on templates of this file; `None` when that is not known.
    pub policy: Option<PolicyId>,
}

/// One frame, borrowed from the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// Written first in every group commit. A later one proves that the commit before it was synced.
    Commit {
        /// Counts the commits of a file, from 1.
        ordinal: u64,
    },
    /// Names a line for the rest of the file.
    Identity(IdentityDefinition<'a>),
    /// Names a template for the rest of the file.
    Template(TemplateDefinition<'a>),
    /// An acknowledged share.
    Share(Share),
    /// What was found out about a share.
    Verdict(VerdictRecord),
    /// A share that solves a block.
    Candidate(CandidateRecord),
    /// Counted refusals.
    Rejects(RejectsRecord<'a>),
    /// Records that were set aside follow, as many as it says.
    Retried(Retried<'a>),
    /// Where the next record was before it was set aside.
    At(Seq),
}

/// See [`Record::Identity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityDefinition<'a> {
    /// Valid in this file only.
    pub local_id: u32,
    /// HMAC of the client's address.
    pub origin: [u8; 16],
    /// Payout address.
    pub address: &'a str,
    /// Worker name.
    pub worker: &'a str,
}

/// See [`Record::Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateDefinition<'a> {
    /// Valid in this file only.
    pub local_id: u32,
    /// What miners hash.
    pub header_base: &'a [u8; 92],
    /// Network target.
    pub target: &'a [u8; 32],
    /// What the block pays.
    pub reward: Amount,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// The daemon's name for it; empty for none.
    pub daemon_id: &'a str,
    /// Whom it pays.
    pub reward_address: &'a str,
    /// The block as JSON.
    pub block: &'a str,
}

/// See [`Record::Share`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Whose.
    pub line: u32,
    /// On what.
    pub template: u32,
    /// The nonce.
    pub nonce: Nonce,
    /// What it is worth.
    pub difficulty: Difficulty,
    /// When it was received.
    pub received_at: Timestamp,
    /// The minute it is booked to; never goes back.
    pub minute: Minute,
    /// [`VERIFIED`], [`CLAIMS_BLOCK`].
    pub flags: u8,
}

/// [`VerdictRecord::verdict`] of a share that was found true.
pub const FOUND_TRUE: u8 = 0;

/// See [`Record::Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictRecord {
    /// The share's position.
    pub share: Seq,
    /// The share's minute.
    pub minute: Minute,
    /// Whose.
    pub line: u32,
    /// What it is worth.
    pub difficulty: Difficulty,
    /// 0 verified, 1 rejected, 2 voided.
    pub verdict: u8,
}

/// See [`Record::Candidate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateRecord {
    /// The share's position.
    pub share: Seq,
    /// Whose.
    pub line: u32,
    /// On what.
    pub template: u32,
    /// The nonce.
    pub nonce: Nonce,
    /// When the share was received.
    pub received_at: Timestamp,
}

/// See [`Record::Rejects`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectsRecord<'a> {
    /// Whose.
    pub line: u32,
    /// When.
    pub minute: Minute,
    /// How many.
    pub count: u32,
    /// Canonical reason.
    pub reason: &'a str,
}

impl FileHead {
    /// The header's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; FILE_HEAD] {
        let mut out = [0; FILE_HEAD];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&self.number.to_le_bytes());
        out[16..24].copy_from_slice(&self.base.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.policy.map_or(0, |policy| policy.0).to_le_bytes());
        out[32..36].copy_from_slice(&self.minute.0.to_le_bytes());
        let crc = crc32fast::hash(&out[..36]);
        out[36..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header and its length; `None` for anything that is not a whole, valid header.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(FileHead, usize)> {
        let mut read = Bytes::of(bytes);
        let magic = read.array()?;
        let (number, base) = (read.u64()?, Seq(read.u64()?));
        let (policy, minute, crc, expected, length) = match magic {
            MAGIC => {
                let (policy, minute, crc) = (read.i64()?, read.u32()?, read.u32()?);
                (policy, minute, crc, crc32fast::hash(&bytes[..36]), FILE_HEAD)
            }
            MAGIC_1 => {
                let (crc, policy) = (read.u32()?, read.u32()?);
                (i64::from(policy), 0, crc, first_checksum(bytes.first_chunk()?), FILE_HEAD_1)
            }
            _ => return None,
        };
        let policy = Some(PolicyId(policy)).filter(|policy| policy.0 != 0);
        (crc == expected).then_some((FileHead { number, base, minute: Minute(minute), policy }, length))
    }
}

/// Of a header of the first format: one without a policy has the checksum of the time before there were any.
fn first_checksum(head: &[u8; FILE_HEAD_1]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..24]);
    if head[28..] != [0; 4] {
        hasher.update(&head[28..]);
    }
    hasher.finalize()
}

impl Record<'_> {
    /// Whether it has a position of its own.
    #[must_use]
    pub fn is_positioned(&self) -> bool {
        matches!(self, Record::Share(_) | Record::Verdict(_) | Record::Candidate(_) | Record::Rejects(_))
    }

    /// Bytes to the next frame, of a record whose own takes `whole`: what follows a [`Retried`] lies in it.
    pub(crate) fn advance(&self, whole: usize) -> usize {
        if matches!(self, Record::Retried(_)) { FRAME_HEAD + RETRIED_HEAD } else { whole }
    }

    /// Appends the record as a frame of file `number`.
    pub fn encode(&self, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEAD]);
        out[start + 8] = self.write_payload(out);
        let length = u32::try_from(out.len() - start - FRAME_HEAD).expect("a payload is bounded by its parts");
        let crc = checksum(number, &out[start + 8..]);
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    fn write_payload(&self, out: &mut Vec<u8>) -> u8 {
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        match self {
            Record::Commit { ordinal } => {
                put(&ordinal.to_le_bytes());
                COMMIT
            }
            Record::Identity(line) => {
                put(&line.local_id.to_le_bytes());
                put(&line.origin);
                put_text(line.address, &mut put);
                put_text(line.worker, &mut put);
                LINE
            }
            Record::Template(template) => {
                put(&template.local_id.to_le_bytes());
                put(template.header_base);
                put(template.target);
                put(&template.reward.atoms().to_le_bytes());
                put(&template.fetched_at.ms().to_le_bytes());
                put_text(template.daemon_id, &mut put);
                put_text(template.reward_address, &mut put);
                put_text(template.block, &mut put);
                TEMPLATE
            }
            Record::Share(share) => {
                put(&share.line.to_le_bytes());
                put(&share.template.to_le_bytes());
                put(&share.nonce.to_le_bytes());
                put(&share.difficulty.get().to_le_bytes());
                put(&share.received_at.ms().to_le_bytes());
                put(&share.minute.0.to_le_bytes());
                put(&[share.flags]);
                SHARE
            }
            Record::Verdict(verdict) => {
                put(&verdict.share.0.to_le_bytes());
                put(&verdict.minute.0.to_le_bytes());
                put(&verdict.line.to_le_bytes());
                put(&verdict.difficulty.get().to_le_bytes());
                put(&[verdict.verdict]);
                VERDICT
            }
            Record::Candidate(candidate) => {
                put(&candidate.share.0.to_le_bytes());
                put(&candidate.line.to_le_bytes());
                put(&candidate.template.to_le_bytes());
                put(&candidate.nonce.to_le_bytes());
                put(&candidate.received_at.ms().to_le_bytes());
                CANDIDATE
            }
            Record::Rejects(rejects) => {
                put(&rejects.line.to_le_bytes());
                put(&rejects.minute.0.to_le_bytes());
                put(&rejects.count.to_le_bytes());
                put_text(rejects.reason, &mut put);
                REJECTS
            }
            Record::Retried(retried) => {
                retried.put(put);
                RETRIED
            }
            Record::At(seq) => {
                put(&seq.0.to_le_bytes());
                AT
            }
        }
    }
}

/// Of a frame's kind and payload. Bytes that are left of another file never have the right one.
pub(crate) fn checksum(number: u64, kind_and_payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(kind_and_payload);
    hasher.finalize()
}

/// The record of this kind; `None` for a payload that is none.
pub(crate) fn decode(kind: u8, payload: &[u8]) -> Option<Record<'_>> {
    let mut read = Bytes::of(payload);
    let record = match kind {
        COMMIT => Record::Commit { ordinal: read.u64()? },
        LINE => Record::Identity(IdentityDefinition {
            local_id: read.u32()?,
            origin: *read.array()?,
            address: read.text()?,
            worker: read.text()?,
        }),
        TEMPLATE => Record::Template(TemplateDefinition {
            local_id: read.u32()?,
            header_base: read.array()?,
            target: read.array()?,
            reward: Amount::from_atoms(read.u64()?)?,
            fetched_at: Timestamp::from_ms(read.i64()?),
            daemon_id: read.text()?,
            reward_address: read.text()?,
            block: read.text()?,
        }),
        SHARE => Record::Share(Share {
            line: read.u32()?,
            template: read.u32()?,
            nonce: Nonce::new(read.u64()?),
            difficulty: Difficulty::new(read.u64()?)?,
            received_at: Timestamp::from_ms(read.i64()?),
            minute: Minute(read.u32()?),
            flags: read.u8()?,
        }),
        VERDICT => Record::Verdict(VerdictRecord {
            share: Seq(read.u64()?),
            minute: Minute(read.u32()?),
            line: read.u32()?,
            difficulty: Difficulty::new(read.u64()?)?,
            verdict: read.u8().filter(|verdict| *verdict < 3)?,
        }),
        CANDIDATE => Record::Candidate(CandidateRecord {
            share: Seq(read.u64()?),
            line: read.u32()?,
            template: read.u32()?,
            nonce: Nonce::new(read.u64()?),
            received_at: Timestamp::from_ms(read.i64()?),
        }),
        REJECTS => Record::Rejects(RejectsRecord {
            line: read.u32()?,
            minute: Minute(read.u32()?),
            count: read.u32()?,
            reason: read.text()?,
        }),
        RETRIED => Record::Retried(Retried::read(&mut read)?),
        AT => Record::At(Seq(read.u64()?)),
        _ => return None,
    };
    read.rest().is_empty().then_some(record)
}

fn put_text(text: &str, put: &mut impl FnMut(&[u8])) {
    put(&u32::try_from(text.len()).expect("texts are bounded long before").to_le_bytes());
    put(text.as_bytes());
}

#[cfg(test)]
pub(crate) mod tests;
