//! The load generator against a scripted pool: it counts what it was told, and nothing else.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test that called it")]
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cpu_miner::AcceptedShare;
use loadgen::{self, Common, Kind, LoadArgs, LoadError, Report, SharesArgs};
use serde_json::{Value, json};

/// A pool that gives every connection a range of its own and answers every `refuse_every`-th submit with a refusal.
struct Pool {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
}

impl Pool {
    fn open(refuse_every: u64, network_target: &'static str) -> Pool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, accepted) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming()) {
                let (stream, counter) = (stream.unwrap(), Arc::clone(&counter));
                std::thread::spawn(move || serve(stream, number, refuse_every, network_target, &counter));
            }
        });
        Pool { address, accepted }
    }

    fn common(&self, connections: usize) -> Common {
        Common {
            pool: self.address,
            connections,
            per_source: 2,
            pool_pid: Some(std::process::id()),
            seed: 1,
            json: false,
            require: Vec::new(),
        }
    }

    fn shares(&self, rate: Option<f64>, accepted: Option<PathBuf>) -> Result<Report, LoadError> {
        let kind = Kind::Shares(SharesArgs {
            common: self.common(4),
            in_flight: 3,
            rate,
            duration: Duration::from_millis(300),
            warm_up: Duration::ZERO,
            accepted,
        });
        loadgen::run(&LoadArgs { kind })
    }
}

fn serve(stream: TcpStream, number: u64, refuse_every: u64, network_target: &str, accepted: &AtomicU64) {
    let mut writer = stream.try_clone().unwrap();
    let target = format!("0f{}", "ff".repeat(31));
    for (count, line) in (0..).zip(BufReader::new(stream).lines()) {
        let Ok(line) = line else { return };
        let request: Value = serde_json::from_str(&line).unwrap();
        let mut answer = if request["method"] == "login" {
            assert!(request["params"]["address"].as_str().unwrap().len() > 80);
            let job = json!({"method": "job", "params": {
                "job_id": format!("{number:016x}"), "header_base": "11".repeat(92), "target": target, "height": 9,
                "network_target": network_target, "nonce_start": number << 32, "nonce_end": (number << 32) + 1_000_000,
            }});
            format!("{}\n{job}", json!({"id": request["id"], "status": "ok", "result": {"protocol_version": 2}}))
        } else if count % refuse_every == 0 {
            json!({"id": request["id"], "error": "rate limited, retry"}).to_string()
        } else {
            assert_eq!(request["params"]["claimed_hash"], target);
            accepted.fetch_add(1, Ordering::Relaxed);
            json!({"id": request["id"], "status": "ok", "result": {"accepted": true, "verified": false,
                "status": "provisional", "difficulty": 16}})
            .to_string()
        };
        answer.push('\n');
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn network_target() -> &'static str {
    "00000000000000000000000000000000000000000000000000000000000000ff"
}

#[test]
fn every_accepted_share_is_listed_once_and_refusals_are_counted_by_text() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("accepted.jsonl");
    let pool = Pool::open(5, network_target());
    let report = pool.shares(None, Some(list.clone())).unwrap();
    let listed: Vec<u64> = AcceptedShare::read_all(&list).unwrap().iter().map(|share| share.nonce).collect();
    assert_eq!(listed.len() as u64, pool.accepted.load(Ordering::Relaxed));
    assert_eq!(listed.iter().collect::<HashSet<_>>().len(), listed.len());
    assert_eq!((report.get("unanswered"), report.get("disconnects")), (Some(0.0), Some(0.0)));
    let json = report.to_json();
    assert_eq!(json["refusals"]["rate limited, retry"].as_f64(), report.get("rejected"));
    assert!(report.get("rejected").unwrap() > 0.0 && report.get("p50_ms").unwrap() > 0.0);
}

#[test]
fn an_open_loop_sends_at_its_rate_whatever_the_pool_does() {
    let pool = Pool::open(u64::MAX, network_target());
    let report = pool.shares(Some(200.0), None).unwrap();
    let accepted = report.get("accepted").unwrap();
    assert!((40.0..=62.0).contains(&accepted), "200 a second for 0.3 s are 60, not {accepted}");
}

#[test]
fn work_that_would_be_a_block_is_not_sent() {
    let target = "0fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    let pool = Pool::open(u64::MAX, target);
    assert!(matches!(pool.shares(None, None), Err(LoadError::BlockWork)));
    assert_eq!(pool.accepted.load(Ordering::Relaxed), 0);
}

#[test]
fn only_a_pool_of_this_machine_is_loaded() {
    let pool = Pool::open(u64::MAX, network_target());
    let mut common = pool.common(1);
    common.pool = "192.0.2.1:3333".parse().unwrap();
    let kind = Kind::Idle(loadgen::IdleArgs { common, hold: Duration::ZERO, cycles: 0 });
    assert!(matches!(loadgen::run(&LoadArgs { kind }), Err(LoadError::NotLoopback(_))));
}

#[test]
fn held_connections_are_closed_and_opened_again() {
    let pool = Pool::open(u64::MAX, network_target());
    let kind = Kind::Idle(loadgen::IdleArgs { common: pool.common(5), hold: Duration::from_millis(20), cycles: 3 });
    let report = loadgen::run(&LoadArgs { kind }).unwrap();
    assert_eq!(report.get("still_open"), Some(5.0));
    assert!(report.get("rss_bytes_per_connection").is_some());
}
