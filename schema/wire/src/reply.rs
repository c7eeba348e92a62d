//! What the pool says, but for jobs. Every function appends one line, LF included.
use std::fmt;

use units::Difficulty;

use crate::json::{push_number, push_text};
use crate::request::Capability;

/// Answers a login. `protocol_version` is the negotiated one, 1 or 2.
pub fn write_login_ok(out: &mut Vec<u8>, id: u64, protocol_version: u32, require_claimed_hash: bool) {
    begin_ok(out, id);
    out.extend_from_slice(b"{\"protocol_version\":");
    push_number(out, u64::from(protocol_version));
    out.extend_from_slice(b",\"capabilities\":");
    push_names(out, if protocol_version >= 2 { &Capability::ALL } else { &Capability::ALL[..2] });
    if require_claimed_hash {
        out.extend_from_slice(b",\"required_capabilities\":");
        push_names(out, &[Capability::SubmitClaimedHash]);
    }
    out.extend_from_slice(b"}}\n");
}

/// Answers a submit that is accepted: whether the pool has hashed it itself, and the share difficulty of the next job.
pub fn write_submit_ok(out: &mut Vec<u8>, id: u64, verified: bool, difficulty: Difficulty) {
    begin_ok(out, id);
    out.extend_from_slice(if verified {
        b"{\"accepted\":true,\"verified\":true,\"status\":\"verified\",\"difficulty\":"
    } else {
        b"{\"accepted\":true,\"verified\":false,\"status\":\"provisional\",\"difficulty\":"
    });
    push_number(out, difficulty.get());
    out.extend_from_slice(b"}}\n");
}

/// Answers with a refusal. Id 0 is for what has no id.
pub fn write_error(out: &mut Vec<u8>, id: u64, text: impl fmt::Display) {
    begin(out, id);
    out.extend_from_slice(b",\"error\":");
    push_text(out, text);
    out.extend_from_slice(b"}\n");
}

/// What a notification is about. Clients match on it and show the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// To the finder only.
    MinerBlockFound,
    /// To everybody.
    PoolBlockSolved,
}

impl Notice {
    /// The `kind` on the wire.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Notice::MinerBlockFound => "miner_block_found",
            Notice::PoolBlockSolved => "pool_block_solved",
        }
    }
}

/// Tells of a block. `message` must not be empty.
pub fn write_notification(out: &mut Vec<u8>, notice: Notice, message: &str) {
    debug_assert!(!message.is_empty(), "clients ignore a notification without a message");
    out.extend_from_slice(b"{\"method\":\"notification\",\"params\":{\"kind\":\"");
    out.extend_from_slice(notice.kind().as_bytes());
    out.extend_from_slice(b"\",\"message\":");
    push_text(out, message);
    out.extend_from_slice(b"}}\n");
}

fn begin(out: &mut Vec<u8>, id: u64) {
    out.extend_from_slice(b"{\"id\":");
    push_number(out, id);
}

fn begin_ok(out: &mut Vec<u8>, id: u64) {
    begin(out, id);
    out.extend_from_slice(b",\"status\":\"ok\",\"result\":");
}

pub(crate) fn push_names(out: &mut Vec<u8>, capabilities: &[Capability]) {
    for (index, capability) in capabilities.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"[\"" } else { b",\"" });
        out.extend_from_slice(capability.name().as_bytes());
        out.push(b'"');
    }
    out.push(b']');
}
