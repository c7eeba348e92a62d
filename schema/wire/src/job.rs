//! Job pushes: the part that all connections share is written once a template, the rest is patched in.
use units::{Difficulty, Height, Nonce};

use crate::json::{push_number, push_text};

/// The common part of a template's job lines.
#[derive(Clone, Debug)]
pub struct JobTemplate {
    head: Box<[u8]>,
}

/// What differs from connection to connection.
#[derive(Clone, Copy, Debug)]
pub struct Assignment<'a> {
    /// Unique over all pushes of the pool.
    pub job_id: u64,
    /// Share difficulty.
    pub difficulty: Difficulty,
    /// The share target of that difficulty, see [`hash_hex`]. Callers keep one text for each difficulty in use.
    pub target_hex: &'a [u8; 64],
    /// First nonce to try.
    pub nonce_first: Nonce,
    /// Last nonce to try, itself included.
    pub nonce_last: Nonce,
}

impl JobTemplate {
    /// Writes the common part. `template_id` is what the daemon calls it, if it does.
    #[must_use]
    pub fn new(
        header_base: &[u8; 92],
        network_target: &[u8; 32],
        height: Height,
        template_id: Option<&str>,
    ) -> JobTemplate {
        let mut head = Vec::with_capacity(512);
        head.extend_from_slice(b"{\"method\":\"job\",\"params\":{\"header_base\":\"");
        head.extend_from_slice(hex::encode(header_base).as_bytes());
        head.extend_from_slice(b"\",\"network_target\":\"");
        head.extend_from_slice(&hash_hex(network_target));
        head.extend_from_slice(b"\",\"height\":");
        push_number(&mut head, height.get());
        if let Some(template_id) = template_id {
            head.extend_from_slice(b",\"template_id\":");
            push_text(&mut head, template_id);
        }
        head.extend_from_slice(b",\"job_id\":\"");
        JobTemplate { head: head.into() }
    }

    /// Appends the line of one connection, LF included: a copy and five patches.
    pub fn write_job(&self, out: &mut Vec<u8>, assignment: &Assignment<'_>) {
        out.reserve(self.head.len() + 224);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&format_job_id(assignment.job_id));
        out.extend_from_slice(b"\",\"difficulty\":");
        push_number(out, assignment.difficulty.get());
        out.extend_from_slice(b",\"target\":\"");
        out.extend_from_slice(assignment.target_hex);
        out.extend_from_slice(b"\",\"nonce_start\":");
        push_number(out, assignment.nonce_first.get());
        out.extend_from_slice(b",\"nonce_end\":");
        push_number(out, assignment.nonce_last.get());
        out.extend_from_slice(b"}}\n");
    }
}

/// 32 bytes as 64 lower-case hex digits.
#[must_use]
pub fn hash_hex(bytes: &[u8; 32]) -> [u8; 64] {
    let mut text = [0; 64];
    hex::encode_to_slice(bytes, &mut text).expect("64 digits hold 32 bytes");
    text
}

/// A job id as it is written: 16 lower-case hex digits.
#[must_use]
pub fn format_job_id(job_id: u64) -> [u8; 16] {
    let mut text = [0; 16];
    hex::encode_to_slice(job_id.to_be_bytes(), &mut text).expect("16 digits hold 8 bytes");
    text
}

/// Reads exactly what [`format_job_id`] writes; `None` for any other text.
#[must_use]
pub fn parse_job_id(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    if digits.len() != 16 {
        return None;
    }
    digits.iter().try_fold(0, |id, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(id << 4 | u64::from(value))
    })
}
