//! The miner against a scripted pool: what it sends, what it forgets, when it comes back.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test that called it")]
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chain::{HeaderBase, PowHash, Target};
use cpu_miner::{AcceptedShare, Miner, MinerParams};
use pow::{Arena, Kernel, MemoryKib};
use serde_json::{Value, json};

const POW_MEMORY_KIB: u32 = 64;
const LOGIN_OK: &str = r#"{"id":1,"status":"ok","result":{"protocol_version":2,"capabilities":["login_negotiation","share_validation_status","submit_claimed_hash","difficulty_hint"],"required_capabilities":["submit_claimed_hash"]}}"#;

struct Pool {
    listener: TcpListener,
}

struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Pool {
    fn open() -> Pool {
        Pool { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn miner(&self, change: impl FnOnce(&mut MinerParams)) -> Miner {
        let mut params = MinerParams {
            pool: format!("stratum+tcp://{}", self.listener.local_addr().unwrap()),
            address: "addr".to_owned(),
            worker: "rig".to_owned(),
            hashrate_max: 0,
            pow_memory_kib: POW_MEMORY_KIB,
            accepted_file: None,
        };
        change(&mut params);
        Miner::start(params).unwrap()
    }

    fn accept(&self) -> Connection {
        let (writer, _) = self.listener.accept().unwrap();
        writer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Connection { reader: BufReader::new(writer.try_clone().unwrap()), writer }
    }
}

impl Connection {
    fn read(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.reader.read_line(&mut line).unwrap() > 0, "the miner has gone");
        if line == "\n" { Value::Null } else { serde_json::from_str(&line).unwrap() }
    }

    fn write(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn log_in(&mut self) -> Value {
        let login = self.read();
        self.write(LOGIN_OK);
        login
    }

    fn job(&mut self, id: &str, difficulty: u64, nonces: (u64, u64)) {
        let job = json!({"method": "job", "params": {
            "job_id": id, "template_id": "t1", "header_base": "11".repeat(92), "height": 7, "difficulty": difficulty,
            "target": Target::from_hashes(difficulty).to_hex(), "nonce_start": nonces.0, "nonce_end": nonces.1,
        }});
        self.write(&job.to_string());
    }
}

#[test]
fn each_nonce_of_a_job_is_hashed_once_and_what_was_accepted_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("accepted.jsonl");
    std::fs::write(&file, "{\"job_id\":\"to").unwrap(); // What a kill has left of a line.
    let pool = Pool::open();
    let miner = pool.miner(|params| params.accepted_file = Some(file.clone()));
    let mut connection = pool.accept();
    let login = connection.log_in();
    assert_eq!(login["params"]["protocol_version"], 2);
    assert!(login["params"].get("difficulty_hint").is_none());
    connection.job("j1", 1, (100, 109));
    let (kernel, mut arena) = (Kernel::detect(), Arena::new(MemoryKib::new(POW_MEMORY_KIB).unwrap()).unwrap());
    let base = HeaderBase::from_bytes([0x11; 92]);
    for nonce in 100..110_u64 {
        let submit = connection.read();
        assert_eq!(submit["params"]["nonce"], nonce);
        let hash = PowHash(kernel.hash(&mut arena, base.as_bytes(), nonce));
        assert_eq!(submit["params"]["claimed_hash"], hash.to_string());
        assert_eq!(submit["id"], nonce - 98);
        let answer = if nonce == 105 {
            json!({"id": submit["id"], "error": "server busy, retry"})
        } else {
            json!({"id": submit["id"], "status": "ok", "result": {"accepted": true, "difficulty": 9}})
        };
        connection.write(&answer.to_string());
    }
    // The next line is the keepalive: the range is done, and the busy share is not sent again.
    assert_eq!(connection.read(), Value::Null);
    let noted: Vec<u64> = AcceptedShare::read_all(&file).unwrap().iter().map(|share| share.nonce).collect();
    assert_eq!(noted, [100, 101, 102, 103, 104, 106, 107, 108, 109]);
    assert_eq!(miner.counters().accepted.load(Ordering::Relaxed), 9);
    assert_eq!(miner.counters().rejected.load(Ordering::Relaxed), 1);
    // Closed by the pool: it is back at once and tells what it was mining at.
    drop(connection);
    let mut connection = pool.accept();
    assert_eq!(connection.log_in()["params"]["difficulty_hint"], 9);
    miner.stop();
}

#[test]
fn at_most_sixteen_submits_wait_and_a_new_job_drops_the_rest() {
    let pool = Pool::open();
    let _miner = pool.miner(|_| {});
    let mut connection = pool.accept();
    connection.log_in();
    connection.job("j1", 1, (0, 999));
    let ids: Vec<Value> = (0..16).map(|_| connection.read()["id"].clone()).collect();
    // An answer makes room for one.
    connection.write(&json!({"id": ids[0], "status": "ok", "result": {"accepted": true}}).to_string());
    assert_eq!(connection.read()["params"]["nonce"], 16);
    connection.job("j2", 1, (5000, 5001));
    let next = connection.read();
    assert_eq!((&next["params"]["job_id"], &next["params"]["nonce"]), (&json!("j2"), &json!(5000)));
}

#[test]
fn a_rejected_login_is_tried_again_after_two_seconds_and_an_unknown_assignment_at_once() {
    let pool = Pool::open();
    let _miner = pool.miner(|_| {});
    let mut connection = pool.accept();
    connection.read();
    connection.write(r#"{"id":1,"error":"invalid address"}"#);
    let rejected_at = Instant::now();
    let mut connection = pool.accept();
    assert!(rejected_at.elapsed() >= Duration::from_secs(2));
    connection.log_in();
    connection.job("j1", 1, (0, 0));
    let id = connection.read()["id"].clone();
    connection.write(&json!({"id": id, "error": "stale job: assignment not found"}).to_string());
    let refused_at = Instant::now();
    pool.accept().log_in();
    assert!(refused_at.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_hashrate_is_held() {
    let pool = Pool::open();
    let miner = pool.miner(|params| params.hashrate_max = 20);
    let mut connection = pool.accept();
    connection.log_in();
    connection.job("j1", 1, (0, 9));
    let began_at = Instant::now();
    for id in 0..10 {
        assert_eq!(connection.read()["params"]["nonce"], id);
    }
    let took = began_at.elapsed();
    assert!(took >= Duration::from_millis(450), "ten hashes at 20 per second take 450 ms, not {took:?}");
    assert_eq!(miner.counters().hashes.load(Ordering::Relaxed), 10);
}
