//! A client that misbehaves is kept out, by the next process too.
use std::time::Duration;

use e2e::{Client, Config, Fleet, Network, Pool, address_of, wait_until};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
/// Abuse that a client is forgiven before it is banned.
const FORGIVEN: usize = 8;

/// What a login through the proxy is answered.
fn log_in(pool: &Pool, from: &str) -> Value {
    let mut client = through_the_proxy(pool, from);
    client.send(&json!({ "id": 7, "method": "login", "params": {
        "address": address_of("miner"), "worker": "rig", "protocol_version": 2, "capabilities": ["submit_claimed_hash"],
    }}));
    client.answer(7)
}

/// A connection that a trusted proxy says is another's.
fn through_the_proxy(pool: &Pool, from: &str) -> Client {
    let mut client = Client::connect(&pool.stratum());
    client.send_line(&format!("PROXY TCP4 {from} 127.0.0.1 40000 3333\r"));
    client
}

#[test]
fn a_banned_client_is_told_why_and_stays_out_when_the_pool_is_killed_and_started_again() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).set("stratum.proxy_from", vec!["127.0.0.0/8"]);
    let mut pool = config.start_ready();
    for _ in 0..=FORGIVEN {
        assert_eq!(log_in(&pool, "10.0.0.1")["status"], "ok");
        let mut abuser = through_the_proxy(&pool, "10.0.0.1");
        abuser.send_line(&"x".repeat(9_000));
        assert_eq!(abuser.answer(0)["error"], "request exceeds 8192 bytes");
    }
    let is_banned = |pool: &Pool| {
        let answer = log_in(pool, "10.0.0.1");
        let error = answer["error"].as_str().unwrap_or_default();
        error.starts_with("banned until ") && error.contains("line_too_long")
    };
    wait_until("the ban", MINUTE, || is_banned(&pool));
    assert_eq!(log_in(&pool, "10.0.0.2")["status"], "ok", "its neighbour did nothing");
    wait_until("the ban in the database", MINUTE, || !config.books().bans().is_empty());
    pool.process.kill();
    let again = config.start_ready();
    assert!(is_banned(&again));
    assert_eq!(again.metric("meshpool_stratum_bans", ""), 1);
    assert_eq!(log_in(&again, "10.0.0.2")["status"], "ok");
    assert_eq!(again.terminate(), 0);
}
