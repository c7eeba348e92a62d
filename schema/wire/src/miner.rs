//! The miner's half of the wire: what it writes, and how it reads a pool. For simulated miners and tests.
//!
//! As strict as the real client: a member of the wrong type makes the whole line unreadable.
use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Text, push_number, push_text};
use crate::reply::push_names;
use crate::request::{Capability, object};

/// Appends a login with protocol version 2 and every capability.
pub fn write_login(out: &mut Vec<u8>, id: u64, address: &str, worker: &str, difficulty_hint: Option<u64>) {
    out.extend_from_slice(b"{\"id\":");
    push_number(out, id);
    out.extend_from_slice(b",\"method\":\"login\",\"params\":{\"address\":");
    push_text(out, address);
    out.extend_from_slice(b",\"worker\":");
    push_text(out, worker);
    out.extend_from_slice(b",\"protocol_version\":2,\"capabilities\":");
    push_names(out, &Capability::ALL);
    if let Some(hint) = difficulty_hint {
        out.extend_from_slice(b",\"difficulty_hint\":");
        push_number(out, hint);
    }
    out.extend_from_slice(b"}}\n");
}

/// Appends a submit.
pub fn write_submit(out: &mut Vec<u8>, id: u64, job_id: &str, nonce: u64, claimed_hash: Option<&[u8; 32]>) {
    out.extend_from_slice(b"{\"id\":");
    push_number(out, id);
    out.extend_from_slice(b",\"method\":\"submit\",\"params\":{\"job_id\":");
    push_text(out, job_id);
    out.extend_from_slice(b",\"nonce\":");
    push_number(out, nonce);
    if let Some(hash) = claimed_hash {
        out.extend_from_slice(b",\"claimed_hash\":\"");
        out.extend_from_slice(&crate::job::hash_hex(hash));
        out.push(b'"');
    }
    out.extend_from_slice(b"}}\n");
}

/// A line that no pool should send; a miner drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of a pool")]
pub struct NotAReply;

/// A message of the pool.
#[derive(Debug)]
pub enum FromPool<'a> {
    /// To a request.
    Answer(Answer<'a>),
    /// New work; it always replaces the old.
    Job(JobPush<'a>),
    /// Something to show.
    Notification {
        /// What it is about, see [`crate::Notice::kind`].
        kind: Cow<'a, str>,
        /// In words.
        message: Cow<'a, str>,
    },
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Of the request; 0 when the pool could not read one.
    pub id: u64,
    /// Present in a refusal.
    pub error: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    result: Option<&'a RawValue>,
}

impl Answer<'_> {
    /// True when there is no error and the status is `ok`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.error.is_none() && self.status.as_ref().is_some_and(|status| status.eq_ignore_ascii_case("ok"))
    }

    /// The result of an accepted login. A pool that sends none speaks version 1 and declares nothing.
    #[must_use]
    pub fn login(&self) -> Option<LoginResult> {
        self.is_ok().then(|| self.result().unwrap_or_default())
    }

    /// The result of an accepted submit.
    #[must_use]
    pub fn submit(&self) -> Option<SubmitResult<'_>> {
        self.is_ok().then(|| self.result()).flatten()
    }

    fn result<'b, T: Deserialize<'b>>(&'b self) -> Option<T> {
        self.result.and_then(|result| object(result.get()))
    }
}

/// What a login agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LoginResult {
    /// 1 or 2.
    pub protocol_version: u32,
    /// What the pool can do.
    pub capabilities: Vec<String>,
    /// What the miner must be able to do.
    pub required_capabilities: Vec<String>,
}

impl Default for LoginResult {
    fn default() -> LoginResult {
        LoginResult { protocol_version: 1, capabilities: Vec::new(), required_capabilities: Vec::new() }
    }
}

/// What became of a share.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SubmitResult<'a> {
    /// Whether it counts.
    pub accepted: bool,
    /// Whether the pool has hashed it itself.
    pub verified: bool,
    /// `verified` or `provisional`.
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    /// Share difficulty of the next job.
    pub difficulty: u64,
}

/// Work.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct JobPush<'a> {
    /// Goes back with each share.
    #[serde(borrow)]
    pub job_id: Cow<'a, str>,
    /// 92 bytes in hex.
    #[serde(borrow)]
    pub header_base: Cow<'a, str>,
    /// Share target, 32 bytes in hex.
    #[serde(borrow)]
    pub target: Cow<'a, str>,
    /// Height of the block being mined.
    pub height: u64,
    /// First nonce to try.
    pub nonce_start: u64,
    /// Last nonce to try, itself included.
    pub nonce_end: u64,
    /// Share difficulty.
    #[serde(default)]
    pub difficulty: Option<u64>,
    /// What the daemon calls the template.
    #[serde(default)]
    pub template_id: Option<String>,
    /// Block target, 32 bytes in hex.
    #[serde(default)]
    pub network_target: Option<String>,
}

#[derive(Deserialize)]
struct PoolLine<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(borrow, default)]
    method: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<Text<'a>>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct NotificationParams<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl<'a> FromPool<'a> {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is neither an answer nor a known push.
    pub fn parse(line: &'a str) -> Result<FromPool<'a>, NotAReply> {
        let line: PoolLine<'a> = object(line).ok_or(NotAReply)?;
        let params = line.params.map_or("null", RawValue::get);
        match (line.id, line.method) {
            (Some(id), None) => {
                let (error, status) = (line.error.map(|text| text.0), line.status.map(|text| text.0));
                Ok(FromPool::Answer(Answer { id, error, status, result: line.result }))
            }
            (_, Some(method)) if method.0 == "job" => object(params).map(FromPool::Job).ok_or(NotAReply),
            (_, Some(method)) if method.0 == "notification" => {
                let NotificationParams { kind, message } = object(params).ok_or(NotAReply)?;
                Ok(FromPool::Notification { kind, message })
            }
            _ => Err(NotAReply),
        }
    }
}
