//! A disk that stalls: who waits, who is told to come back, and that nobody is thrown out.
use std::time::{Duration, Instant};

use e2e::{Client, Config, Fleet, Network, Proof, address_of, audit, wait_until};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);
/// Far below the pool's own patience with its disk: an answer within it did not wait for that.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn a_stalled_disk_is_answered_busy_at_once_and_the_same_share_is_taken_later() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).trusting().easy().set("ledger.mailbox", 1);
    let pool = config.start_ready();
    let mut proof = Proof::default();
    let (mut first, mut second) = (
        Client::login(&pool.stratum(), &address_of("first"), "a"),
        Client::login(&pool.stratum(), &address_of("second"), "b"),
    );
    let (job, other) = (first.job(), second.job());
    let hash = job.made_up_hash();
    let connections = pool.metric("meshpool_stratum_connections_total", "");

    pool.drill(&json!({ "stall_disk": true }));
    // Waits for the disk, and fills the mailbox.
    let waiting = first.submit(&job.id, job.nonce_start, &hash);
    wait_until("a message under way", MINUTE, || pool.metric("meshpool_actor_depth", "share_ledger") > 0);
    let asked_at = Instant::now();
    for nonce in 1..=5 {
        let id = first.submit(&job.id, job.nonce_start + nonce, &hash);
        let answer = first.try_answer(id, AT_ONCE).expect("an answer that does not wait for the disk");
        assert_eq!(answer["error"], "server busy, retry", "{answer}");
    }
    let id = second.submit(&other.id, other.nonce_start, &hash);
    assert_eq!(second.try_answer(id, AT_ONCE).unwrap()["error"], "server busy, retry");
    assert!(asked_at.elapsed() < AT_ONCE, "{:?}", asked_at.elapsed());
    assert!(pool.metric("meshpool_shares_busy_total", "") >= 6);
    assert!(pool.metric("meshpool_actor_refused_total", "share_ledger") >= 6);
    assert_eq!(pool.metric("meshpool_shares_accepted_total", ""), 0);

    pool.drill(&json!({ "stall_disk": false }));
    let answer = first.answer(waiting);
    assert_eq!(answer["result"]["accepted"], true, "{answer}");
    proof.acknowledged(&job, job.nonce_start);
    for nonce in 1..=5 {
        let id = first.submit(&job.id, job.nonce_start + nonce, &hash);
        let answer = first.answer(id);
        assert_eq!(answer["result"]["accepted"], true, "{answer}");
        proof.acknowledged(&job, job.nonce_start + nonce);
    }
    let id = second.submit(&other.id, other.nonce_start, &hash);
    assert_eq!(second.answer(id)["result"]["accepted"], true);
    proof.acknowledged(&other, other.nonce_start);
    // Taken once is taken.
    let id = first.submit(&job.id, job.nonce_start, &hash);
    assert_eq!(first.answer(id)["error"], "duplicate share");

    assert!(first.is_open() && second.is_open(), "a connection was dropped");
    assert_eq!(pool.metric("meshpool_stratum_connections_total", ""), connections);
    assert_eq!(pool.metric("meshpool_shares_accepted_total", ""), 7);
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn miners_stay_connected_while_the_disk_stalls_and_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 30 }, &[]);
    let config = Config::new(place.path(), &network).easy().set("ledger.mailbox", 1);
    let pool = config.start_ready();
    let proof = Proof::default();
    let accepted = || pool.metric("meshpool_shares_accepted_total", "");
    wait_until("shares", MINUTE, || accepted() > 20);
    let connections = pool.metric("meshpool_stratum_connections_total", "");
    for _ in 0..3 {
        let busy = pool.metric("meshpool_shares_busy_total", "");
        pool.drill(&json!({ "stall_disk": true }));
        wait_until("refused shares", MINUTE, || pool.metric("meshpool_shares_busy_total", "") > busy + 10);
        pool.drill(&json!({ "stall_disk": false }));
        let before = accepted();
        wait_until("accepted shares again", MINUTE, || accepted() > before + 20);
    }
    assert_eq!(pool.metric("meshpool_stratum_connections_total", ""), connections, "miners had to come back");
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
    assert!(proof.shares_are_kept(&network, &config) > 0);
}
