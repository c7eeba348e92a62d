//! A raw Stratum client: it sends what it is told, and keeps everything it hears.
use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chain::{HeaderBase, PowHash, Target};
use devnet_accounts::Keys;
use pow::{Arena, Kernel, MemoryKib};
use serde_json::{Value, json};

/// How long a pool may take to say something.
const PATIENCE: Duration = Duration::from_secs(20);
/// Shares of a flood that wait for their answers.
const IN_FLIGHT: u64 = 256;
/// Memory of the devnet's hash.
const POW_MEMORY_KIB: u32 = 1024;

/// An address of the test network that nobody else's name leads to.
#[must_use]
pub fn address_of(name: &str) -> String {
    Keys::derive(7, name).address()
}

/// A job as the pool pushed it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// Height of the block that is tried for.
    pub height: u64,
    /// What is hashed.
    pub header_base: HeaderBase,
    /// Below it, a hash is a share.
    pub target: Target,
    /// Below it, a hash is a block.
    pub network_target: Target,
    /// First nonce to try.
    pub nonce_start: u64,
    /// Last nonce to try.
    pub nonce_end: u64,
}

impl Job {
    fn read(params: &Value) -> Job {
        let text = |key: &str| params[key].as_str().unwrap_or_else(|| panic!("no {key} in {params}")).to_owned();
        let number = |key: &str| params[key].as_u64().unwrap_or_else(|| panic!("no {key} in {params}"));
        let target = |key: &str| Target::from_hex(&text(key)).unwrap_or_else(|error| panic!("{key}: {error}"));
        Job {
            id: text("job_id"),
            height: number("height"),
            header_base: HeaderBase::from_hex(&text("header_base")).unwrap_or_else(|error| panic!("{error}")),
            target: target("target"),
            network_target: target("network_target"),
            nonce_start: number("nonce_start"),
            nonce_end: number("nonce_end"),
        }
    }

    /// A hash that meets the share target and not the network's: for pools that check nothing.
    ///
    /// # Panics
    /// When the two targets are the same.
    #[must_use]
    pub fn made_up_hash(&self) -> String {
        assert!(self.network_target < self.target, "every share of this job is a block");
        self.target.to_hex()
    }
}

/// What became of the submits of [`Client::flood`].
#[derive(Debug, Default)]
pub struct Flood {
    /// Nonces of those that were acknowledged.
    pub acknowledged: Vec<u64>,
    /// Places of all that were answered; the first submit has place 0.
    pub answered: BTreeSet<u64>,
}

impl Flood {
    /// Whether no submit was left out: everything up to the last one that was answered is answered.
    #[must_use]
    pub fn has_no_gap(&self) -> bool {
        self.answered.last().is_none_or(|last| last + 1 == self.answered.len() as u64)
    }
}

/// One connection.
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    line: Vec<u8>,
    next_id: u64,
    answers: Vec<Value>,
    pushed: VecDeque<Value>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(address: &str) -> Client {
        let writer = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        writer.set_nodelay(true).expect("a socket has this option");
        let reader = BufReader::new(writer.try_clone().expect("a socket can be shared"));
        Client { reader, writer, line: Vec::new(), next_id: 2, answers: Vec::new(), pushed: VecDeque::new() }
    }

    /// Connects and logs in as the real miner does.
    ///
    /// # Panics
    /// When the pool refuses.
    #[must_use]
    pub fn login(address: &str, payee: &str, worker: &str) -> Client {
        let mut client = Client::connect(address);
        client.send(&json!({ "id": 1, "method": "login", "params": {
            "address": payee, "worker": worker, "protocol_version": 2,
            "capabilities": ["login_negotiation", "share_validation_status", "submit_claimed_hash", "difficulty_hint"],
        }}));
        let answer = client.answer(1);
        assert_eq!(answer["status"], "ok", "login: {answer}");
        client
    }

    /// Sends a line.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send(&mut self, message: &Value) {
        self.send_line(&message.to_string());
    }

    /// Sends a line as it is.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send_line(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).expect("the pool takes a line");
    }

    /// Sends a share; returns the id of its answer.
    pub fn submit(&mut self, job: &str, nonce: u64, hash: &str) -> u64 {
        self.request("submit", &json!({ "job_id": job, "nonce": nonce, "claimed_hash": hash }))
    }

    /// Sends a share without its hash; returns the id of its answer.
    pub fn submit_bare(&mut self, job: &str, nonce: u64) -> u64 {
        self.request("submit", &json!({ "job_id": job, "nonce": nonce }))
    }

    fn request(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({ "id": id, "method": method, "params": params }));
        id
    }

    /// Reads until there is a line; `None` when the pool closed the connection or said nothing.
    fn read(&mut self, within: Duration) -> Option<Value> {
        let give_up_at = Instant::now() + within;
        loop {
            let left = give_up_at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.writer.set_read_timeout(Some(left)).expect("a socket has this option");
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) if self.line.ends_with(b"\n") => break,
                Ok(_) => return None,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() >= give_up_at {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
        let line = std::mem::take(&mut self.line);
        let said = String::from_utf8_lossy(&line);
        Some(serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error} in {said}")))
    }

    /// Takes one line in; whether there was one.
    fn hear(&mut self, within: Duration) -> bool {
        let Some(message) = self.read(within) else { return false };
        if message.get("method").is_some() {
            self.pushed.push_back(message);
        } else {
            self.answers.push(message);
        }
        true
    }

    /// The answer to a request.
    ///
    /// # Panics
    /// When there is none.
    pub fn answer(&mut self, id: u64) -> Value {
        self.try_answer(id, PATIENCE).unwrap_or_else(|| panic!("no answer to request {id}"))
    }

    /// The answer to a request, if it comes within that time.
    pub fn try_answer(&mut self, id: u64, within: Duration) -> Option<Value> {
        let give_up_at = Instant::now() + within;
        loop {
            if let Some(place) = self.answers.iter().position(|answer| answer["id"] == id) {
                return Some(self.answers.swap_remove(place));
            }
            if !self.hear(give_up_at.checked_duration_since(Instant::now())?) {
                return None;
            }
        }
    }

    /// Answers that nobody asked for yet.
    #[must_use]
    pub fn unclaimed(&self) -> &[Value] {
        &self.answers
    }

    /// The newest job, waiting for the first.
    ///
    /// # Panics
    /// When none comes.
    pub fn job(&mut self) -> Job {
        self.job_above(0)
    }

    /// The newest job, waiting for one above this height.
    ///
    /// # Panics
    /// When none comes.
    pub fn job_above(&mut self, height: u64) -> Job {
        let give_up_at = Instant::now() + PATIENCE;
        // What is there already may be newer.
        while self.hear(Duration::from_millis(1)) {}
        loop {
            let newest = self.pushed.iter().rev().find(|message| message["method"] == "job");
            if let Some(job) = newest.map(|message| Job::read(&message["params"])).filter(|job| job.height > height) {
                return job;
            }
            assert!(Instant::now() < give_up_at, "no job above height {height}");
            self.hear(Duration::from_millis(500));
        }
    }

    /// Submits shares of a job as fast as the pool answers, until the connection ends.
    ///
    /// # Panics
    /// When a submit is answered twice, or one that was never made.
    pub fn flood(mut self, job: &Job) -> Flood {
        let (hash, first) = (job.made_up_hash(), self.next_id);
        let (mut flood, mut is_open) = (Flood::default(), true);
        loop {
            let mut lines = String::new();
            while is_open && self.next_id - first < flood.answered.len() as u64 + IN_FLIGHT {
                let (id, nonce) = (self.next_id, job.nonce_start + (self.next_id - first));
                let params = json!({ "job_id": job.id, "nonce": nonce, "claimed_hash": hash });
                lines += &json!({ "id": id, "method": "submit", "params": params }).to_string();
                lines.push('\n');
                self.next_id += 1;
            }
            is_open &= self.writer.write_all(lines.as_bytes()).is_ok();
            // What the pool has said before it died still counts.
            if !self.hear(PATIENCE) {
                return flood;
            }
            for answer in self.answers.drain(..) {
                let id = answer["id"].as_u64().filter(|id| (first..self.next_id).contains(id));
                let place = id.unwrap_or_else(|| panic!("nobody asked for {answer}")) - first;
                assert!(flood.answered.insert(place), "answered twice: {answer}");
                if answer["result"]["accepted"] == true {
                    flood.acknowledged.push(job.nonce_start + place);
                }
            }
        }
    }

    /// Whether the pool keeps this connection: it answers a request that it does not know.
    pub fn is_open(&mut self) -> bool {
        let id = self.next_id;
        self.next_id += 1;
        let sent = self.writer.write_all(format!("{{\"id\":{id},\"method\":\"ping\"}}\n").as_bytes());
        sent.is_ok() && self.try_answer(id, PATIENCE).is_some()
    }
}

/// Finds true shares.
pub struct Solver {
    kernel: Kernel,
    arena: Arena,
}

impl Default for Solver {
    fn default() -> Solver {
        let memory = MemoryKib::new(POW_MEMORY_KIB).expect("the devnet's memory is allowed");
        Solver { kernel: Kernel::detect(), arena: Arena::new(memory).expect("a MiB is there") }
    }
}

impl Solver {
    /// The first nonce from `from` on that makes a share of this job, and its hash.
    ///
    /// # Panics
    /// When the job has none left.
    pub fn share(&mut self, job: &Job, from: u64) -> (u64, String) {
        for nonce in from..=job.nonce_end {
            let hash = PowHash(self.kernel.hash(&mut self.arena, job.header_base.as_bytes(), nonce));
            if job.target.is_met_by(&hash) {
                return (nonce, hash.to_string());
            }
        }
        panic!("job {} has no share left", job.id);
    }
}
