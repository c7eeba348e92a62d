//! The Stratum line codec: bytes to requests, replies and pushes to bytes, and the same for the miner's side.
//!
//! One JSON object a line, LF at its end, at most [`LINE_MAX`] bytes before it. What a client matches on (texts,
//! member names, types) is written here and nowhere else.
//!
//! What this crate refuses to do: I/O, decisions about a share, and anything that knows an actor or a session.
//!
//! Invariants: no input makes it panic; what it writes is one line of valid JSON whatever text it was given; parsing a
//! submit copies nothing unless the line carries escapes.
#![warn(missing_docs)]

mod job;
mod json;
mod lines;
mod miner;
mod reject;
mod reply;
mod request;

pub use job::{Assignment, JobTemplate, format_job_id, hash_hex, parse_job_id};
pub use lines::{LINE_MAX, LineError, LineEvent, Lines};
pub use miner::{Answer, FromPool, JobPush, LoginResult, NotAReply, SubmitResult, write_login, write_submit};
pub use reject::{LoginRefusal, Quarantine, Reject, RejectCode, Sentence, Strikes};
pub use reply::{Notice, write_error, write_login_ok, write_notification, write_submit_ok};
pub use request::{
    BadLine, Capabilities, Capability, Login, Request, Submit, UNKNOWN_METHOD, WORKER_DEFAULT, parse_claimed_hash,
};
