//! One connection to the pool: bytes to lines, lines to what they mean.
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use chain::HeaderBase;
use memchr::{memchr, memmem};
use wire::FromPool;

/// Bytes of the pool that are read at once.
pub(super) const SCRATCH: usize = 64 * 1024;

/// A line of the pool.
#[derive(Debug, PartialEq)]
pub(super) enum PoolMessage<'a> {
    /// A submit was accepted.
    Accepted(u64),
    /// Another request was answered well: the login.
    Ok,
    /// A request was refused.
    Refused(u64, String),
    /// New work, not parsed yet: see [`Job::parse`].
    Job(&'a [u8]),
    /// Anything else.
    Other,
}

impl<'a> PoolMessage<'a> {
    /// What an accepted submit's answer begins with, behind its id. Others are read by the book.
    const ACCEPTED: &'static [u8] = b",\"status\":\"ok\",\"result\":{\"accepted\":true,";

    pub(super) fn read(line: &'a [u8]) -> PoolMessage<'a> {
        if line.starts_with(b"{\"method\":\"job\"") {
            return PoolMessage::Job(line);
        }
        if let Some(id) = Self::accepted(line) {
            return PoolMessage::Accepted(id);
        }
        match std::str::from_utf8(line).map(FromPool::parse) {
            Ok(Ok(FromPool::Answer(answer))) => match (&answer.error, answer.submit()) {
                (Some(text), _) => PoolMessage::Refused(answer.id, text.to_string()),
                (None, Some(result)) if result.accepted => PoolMessage::Accepted(answer.id),
                _ => PoolMessage::Ok,
            },
            Ok(Ok(FromPool::Job(_))) => PoolMessage::Job(line),
            _ => PoolMessage::Other,
        }
    }

    fn accepted(line: &[u8]) -> Option<u64> {
        let rest = line.strip_prefix(b"{\"id\":")?;
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        rest[digits..].starts_with(Self::ACCEPTED).then_some(())?;
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    }
}

/// Work, with the parts of a submit that do not change.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) height: u64,
    /// The start of its shares' lines in a list of accepted ones, up to the nonce.
    pub(super) listed: String,
    pub(super) first: u64,
    pub(super) last: u64,
    before_nonce: Vec<u8>,
    after_nonce: Vec<u8>,
    /// The share target is the network's: every share would be a block.
    pub(super) is_block_work: bool,
}

impl Job {
    /// `None` for a line that is not a job.
    pub(super) fn parse(line: &[u8]) -> Option<Job> {
        let Ok(FromPool::Job(job)) = FromPool::parse(std::str::from_utf8(line).ok()?) else { return None };
        let (id, height, root) = (&job.job_id, job.height, job.header_base.parse::<HeaderBase>().ok()?.merkle_root());
        Some(Job {
            height,
            listed: format!("{{\"job_id\":\"{id}\",\"merkle_root\":\"{root}\",\"height\":{height},\"nonce\":"),
            first: job.nonce_start,
            last: job.nonce_end,
            before_nonce: format!(",\"method\":\"submit\",\"params\":{{\"job_id\":\"{id}\",\"nonce\":").into(),
            // The target itself is the worst hash that still is a share.
            after_nonce: format!(",\"claimed_hash\":\"{}\"}}}}\n", job.target).into(),
            is_block_work: job.network_target.as_deref() == Some(&*job.target),
        })
    }

    /// The height of a job line, without reading the rest of it.
    pub(super) fn height_of(line: &[u8]) -> Option<u64> {
        let at = memmem::find(line, b"\"height\":")? + 9;
        let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&line[at..at + digits]).ok()?.parse().ok()
    }

    /// Appends a submit.
    pub(super) fn submit(&self, out: &mut Vec<u8>, id: u64, nonce: u64) {
        out.extend_from_slice(b"{\"id\":");
        write!(out, "{id}").expect("a vector takes every byte");
        out.extend_from_slice(&self.before_nonce);
        write!(out, "{nonce}").expect("a vector takes every byte");
        out.extend_from_slice(&self.after_nonce);
    }
}

/// A connection. It never blocks.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: TcpStream,
    /// What is to be sent; see [`Client::flush`].
    pub(super) out: Vec<u8>,
    partial: Vec<u8>,
    /// To be closed when its turn is over.
    pub(super) is_done: bool,
}

impl Client {
    pub(super) fn new(stream: TcpStream) -> Client {
        Client { stream, out: Vec::new(), partial: Vec::new(), is_done: false }
    }

    /// Sends what the socket takes; false when the connection has ended.
    pub(super) fn flush(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        match self.stream.write(&self.out) {
            Ok(sent) => {
                self.out.drain(..sent);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Reads once and calls `each` for every whole line; false when the connection has ended.
    pub(super) fn read(&mut self, scratch: &mut [u8], mut each: impl FnMut(&mut Client, PoolMessage<'_>)) -> bool {
        let kept = self.partial.len();
        scratch[..kept].copy_from_slice(&self.partial);
        let read = match self.stream.read(&mut scratch[kept..]) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        let mut rest = &scratch[..kept + read];
        while let Some(end) = memchr(b'\n', rest) {
            each(self, PoolMessage::read(&rest[..end]));
            rest = &rest[end + 1..];
        }
        self.partial.clear();
        self.partial.extend_from_slice(rest);
        rest.len() < SCRATCH / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let accepted = br#"{"id":7,"status":"ok","result":{"accepted":true,"verified":false,"difficulty":5}}"#;
        assert_eq!(PoolMessage::read(accepted), PoolMessage::Accepted(7));
        let reordered = br#"{"id":7,"result":{"verified":false,"accepted":true,"status":"provisional","difficulty":5},"status":"ok"}"#;
        assert_eq!(PoolMessage::read(reordered), PoolMessage::Accepted(7));
        let refused = br#"{"id":8,"error":"duplicate share"}"#;
        assert_eq!(PoolMessage::read(refused), PoolMessage::Refused(8, "duplicate share".to_owned()));
        assert_eq!(PoolMessage::read(br#"{"id":1,"status":"ok","result":{"protocol_version":2}}"#), PoolMessage::Ok);
        assert_eq!(PoolMessage::read(b"nonsense"), PoolMessage::Other);
        let job = br#"{"method":"job","params":{"header_base":"00","height":41,"job_id":"a"}}"#;
        assert_eq!(PoolMessage::read(job), PoolMessage::Job(job));
        assert_eq!(Job::height_of(job), Some(41));
    }

    #[test]
    fn a_submit_is_one_that_the_pool_can_read() {
        let job = format!(
            r#"{{"method":"job","params":{{"job_id":"00000000000000aa","header_base":"{}","target":"0f","network_target":"01","height":3,"nonce_start":5,"nonce_end":9}}}}"#,
            "11".repeat(92)
        );
        let job = Job::parse(job.as_bytes()).unwrap();
        assert!(!job.is_block_work);
        let mut out = Vec::new();
        job.submit(&mut out, 12, job.first);
        let line = std::str::from_utf8(&out).unwrap().trim_end();
        let Ok(wire::Request::Submit { id: 12, params: Ok(submit) }) = wire::Request::parse(line) else {
            panic!("{line}")
        };
        assert_eq!((submit.job(), submit.nonce.get(), submit.claimed_hash.as_deref()), (Some(0xaa), 5, Some("0f")));
    }
}
