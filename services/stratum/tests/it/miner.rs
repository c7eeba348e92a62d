//! The other side of the socket.
use std::net::SocketAddr;
use std::time::Duration;

use curve25519_dalek::{RistrettoPoint, Scalar};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::pool::{HASH_5, PATIENCE, Pool};

/// The n-th payout address.
pub(crate) fn address(n: u64) -> String {
    let key = |n: u64| RistrettoPoint::mul_base(&Scalar::from(n)).compress().to_bytes();
    chain::Address::encode(&key(2 * n + 1), &key(2 * n + 2), chain::Network::Mainnet)
}

pub(crate) fn login_line(id: u64, address: &str, worker: &str) -> String {
    format!(
        r#"{{"id":{id},"method":"login","params":{{"address":"{address}","worker":"{worker}","protocol_version":2,"capabilities":["login_negotiation","share_validation_status","submit_claimed_hash","difficulty_hint"]}}}}"#
    )
}

/// What a login of version 2 is answered.
pub(crate) fn login_ok(id: u64) -> String {
    format!(
        r#"{{"id":{id},"status":"ok","result":{{"protocol_version":2,"capabilities":["login_negotiation","share_validation_status","submit_claimed_hash","difficulty_hint"],"required_capabilities":["submit_claimed_hash"]}}}}"#
    )
}

/// What an accepted share of difficulty 5 is answered.
pub(crate) fn share_ok(id: u64) -> String {
    format!(
        r#"{{"id":{id},"status":"ok","result":{{"accepted":true,"verified":false,"status":"provisional","difficulty":5}}}}"#
    )
}

pub(crate) fn error(id: u64, text: &str) -> String {
    format!(r#"{{"id":{id},"error":"{text}"}}"#)
}

/// What of a job a miner works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) height: u64,
    pub(crate) difficulty: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Job {
    pub(crate) fn of(line: &str) -> Job {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["method"], "job", "{line}");
        let params = &value["params"];
        let number = |name: &str| params[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"));
        Job {
            id: params["job_id"].as_str().unwrap().to_owned(),
            height: number("height"),
            difficulty: number("difficulty"),
            first: number("nonce_start"),
            last: number("nonce_end"),
        }
    }

    /// A submit of the n-th nonce with a hash good for difficulty 5.
    pub(crate) fn submit(&self, id: u64, n: u64) -> String {
        self.claim(id, n, HASH_5)
    }

    pub(crate) fn claim(&self, id: u64, n: u64, hash: &str) -> String {
        let (job, nonce) = (&self.id, self.first + n);
        format!(
            r#"{{"id":{id},"method":"submit","params":{{"job_id":"{job}","nonce":{nonce},"claimed_hash":"{hash}"}}}}"#
        )
    }
}

/// A connection, plain.
pub(crate) struct Miner {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Miner {
    /// From this machine, as itself.
    pub(crate) async fn connect(pool: &Pool) -> Miner {
        Miner::to(pool.address).await
    }

    pub(crate) async fn to(address: SocketAddr) -> Miner {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Miner { stream, read: Vec::new() }
    }

    /// Through a trusted proxy that names `client`.
    pub(crate) async fn from(pool: &Pool, client: &str) -> Miner {
        let mut miner = Miner::connect(pool).await;
        let family = if client.contains(':') { "TCP6" } else { "TCP4" };
        miner.send_bytes(format!("PROXY {family} {client} {client} 1 2\r\n").as_bytes()).await;
        miner
    }

    /// Logged in, and its first job.
    pub(crate) async fn log_in(&mut self, n: u64, worker: &str) -> Job {
        self.send(&login_line(1, &address(n), worker)).await;
        assert_eq!(self.line().await, login_ok(1));
        self.job().await
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next line, `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let next = async {
            loop {
                if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.read.drain(..=end).collect();
                    return Some(String::from_utf8(line[..end].to_vec()).unwrap());
                }
                // A reset is an end too.
                if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a line or the end in time")
    }

    pub(crate) async fn line(&mut self) -> String {
        self.next().await.expect("a line, not the end")
    }

    pub(crate) async fn job(&mut self) -> Job {
        Job::of(&self.line().await)
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        self.next().await.is_none()
    }

    /// Takes whatever bytes come, up to the end.
    pub(crate) async fn until_closed(&mut self) {
        // A reset is an end too.
        let mut nowhere = tokio::io::sink();
        let _bytes = timeout(PATIENCE, tokio::io::copy(&mut self.stream, &mut nowhere)).await.expect("the end in time");
    }

    /// Whether nothing is said for a moment.
    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(100), self.stream.readable()).await.is_err() && self.read.is_empty()
    }
}
