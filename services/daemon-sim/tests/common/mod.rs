//! A daemon in a directory of its own, and an HTTP client that shows exactly what came over the wire.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test that called it")]
#![allow(dead_code, reason = "each test file uses its own part of it")]
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use chain::{HeaderBase, PowHash, Target};
use daemon_sim::{Control, Params, SimulatedDaemon};
use pow::{Arena, Kernel, MemoryKib};
use serde_json::{Value, json};

pub(crate) const POW_MEMORY_KIB: u32 = 64;
pub(crate) const PASSWORD: &str = "test123";
pub(crate) const SOMEBODY: &str =
    "UKSViQvkNss19JJ62BxQrTzLLRmVsgtJAMHV8mBivgGL81eV6BCaCNgCDx5DC4fmk7dWgaUX1KWWr4XbXq6cuTXNTdoJ8";

/// An answer, with header names in lower case and the body put together.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        self.headers.iter().find(|(has, _)| *has == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// A client of one daemon.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: String,
}

impl Client {
    /// Sends a request; `None` when the connection ended without an answer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Reply> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).ok()?;
        parse(&raw)
    }
}

fn parse(raw: &[u8]) -> Option<Reply> {
    let text = String::from_utf8(raw.to_vec()).expect("answers are text");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.into()))
        .collect();
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if is_chunked { join_chunks(body) } else { body.to_owned() };
    Some(Reply { status, headers, body })
}

fn join_chunks(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk begins with its length");
        body += &after[..length];
        rest = after[length..].strip_prefix("\r\n").expect("a chunk ends with a line");
        if length == 0 {
            break;
        }
    }
    body
}

/// A daemon under test.
pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) daemon: SimulatedDaemon,
    pub(crate) client: Client,
}

impl Lab {
    pub(crate) fn start(change: impl FnOnce(&mut Params)) -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let mut params = Params::new(dir.path());
        params.pow_memory_kib = POW_MEMORY_KIB;
        params.wallet_file = "w.wallet.dat".to_owned();
        change(&mut params);
        let daemon = SimulatedDaemon::start(params).unwrap();
        let client = Client { address: daemon.url().strip_prefix("http://").unwrap().to_owned() };
        Lab { dir, daemon, client }
    }

    /// One with a wallet that owns `blocks` coinbases.
    pub(crate) fn with_wallet(blocks: u64) -> Lab {
        let lab = Lab::start(|_| {});
        assert_eq!(lab.post("/api/wallet/create", &json!({"password": PASSWORD})).status, 200);
        lab.mine_to_wallet(blocks);
        lab
    }

    pub(crate) fn control(&self) -> Control {
        self.daemon.control()
    }

    pub(crate) fn mine_to_wallet(&self, count: u64) {
        let order = daemon_sim::MineOrder {
            count,
            to: "wallet".to_owned(),
            spacing_secs: Some(300),
            empty: true,
            ..Default::default()
        };
        self.control().mine(&order).unwrap();
    }

    pub(crate) fn mine(&self, count: u64) {
        let order = daemon_sim::MineOrder { count, spacing_secs: Some(300), ..Default::default() };
        self.control().mine(&order).unwrap();
    }

    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.daemon.token())
    }

    pub(crate) fn try_request(&self, method: &str, path: &str, key: Option<&str>, body: &str) -> Option<Reply> {
        let authorization = self.authorization();
        let mut headers = vec![("Authorization", authorization.as_str())];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        self.client.send(method, path, &headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.try_request("GET", path, None, "").expect("an answer")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.try_request("POST", path, None, &body.to_string()).expect("an answer")
    }

    pub(crate) fn load_wallet(&self) {
        assert_eq!(self.post("/api/wallet/load", &json!({"password": PASSWORD})).status, 200);
    }
}

/// Finds nonces of templates.
pub(crate) struct Solver {
    kernel: Kernel,
    arena: Arena,
}

impl Solver {
    pub(crate) fn new() -> Solver {
        Solver { kernel: Kernel::detect(), arena: Arena::new(MemoryKib::new(POW_MEMORY_KIB).unwrap()).unwrap() }
    }

    /// The first nonce whose hash meets the header's own difficulty, or the first that does not.
    pub(crate) fn nonce(&mut self, base: &HeaderBase, is_good: bool) -> u64 {
        let target = Target::from_hashes(base.difficulty());
        let mut hash = |nonce| PowHash(self.kernel.hash(&mut self.arena, base.as_bytes(), nonce));
        (0..).find(|nonce| target.is_met_by(&hash(*nonce)) == is_good).unwrap()
    }
}

pub(crate) fn header_base(template: &Value) -> HeaderBase {
    template["header_base"].as_str().unwrap().parse().unwrap()
}
