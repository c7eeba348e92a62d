//! Under a service manager: its socket outlives the pool, and it hears when the pool serves, lives and ends.
use std::time::{Duration, Instant};

use e2e::{Client, Config, Fleet, Manager, Network, Proof, Scratch, address_of, audit, wait_until};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);
/// As `WatchdogSec=`, shorter.
const PATIENCE: Duration = Duration::from_secs(4);

fn login(worker: &str) -> serde_json::Value {
    json!({ "id": 1, "method": "login", "params": {
        "address": address_of(worker), "worker": worker, "protocol_version": 2,
        "capabilities": ["login_negotiation", "share_validation_status", "submit_claimed_hash", "difficulty_hint"],
    }})
}

#[test]
fn who_connects_between_two_processes_is_served_by_the_second() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "1000000"]);
    // The unit's command line also makes the tables.
    let config = Config::new(place.path(), &network).trusting().easy().database(&postgres.url());
    let manager = Manager::new(place.path(), ("127.0.0.1", network.stratum_port), PATIENCE);
    let first = manager.start(&config);
    // Nobody is refused before it is up either.
    let mut early = Client::connect(&first.stratum());
    early.send(&login("early"));
    manager.wait("READY=1", 1, MINUTE);
    assert_eq!(early.answer(1)["status"], "ok");
    assert!(first.process.log().contains("taking over the listening socket"));
    let job = early.job();
    let share = early.submit(&job.id, job.nonce_start, &job.made_up_hash());
    assert_eq!(early.answer(share)["result"]["accepted"], true);
    wait_until("a status line", MINUTE, || manager.status() == format!("miners: 1, height: {}", job.height));
    assert_eq!(manager.heard("STOPPING=1").len(), 0);
    let stratum = first.stratum();
    assert_eq!(first.terminate(), 0);
    manager.wait("STOPPING=1", 1, MINUTE);
    assert_eq!(manager.status(), "stopping: SIGTERM");

    let mut between = Client::connect(&stratum);
    between.send(&login("between"));
    let mut second = manager.start(&config);
    assert_eq!(between.answer(1)["status"], "ok");
    let job = between.job();
    let share = between.submit(&job.id, job.nonce_start, &job.made_up_hash());
    assert_eq!(between.answer(share)["result"]["accepted"], true);
    manager.wait("READY=1", 2, MINUTE);
    second.wait_ready();
    assert_eq!(second.terminate(), 0);
    assert_eq!((manager.heard("READY=1").len(), manager.heard("STOPPING=1").len()), (2, 2));
    audit(&config).assert_clean();
}

#[test]
fn signs_of_life_come_while_every_loop_turns_and_end_when_one_hangs() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).trusting().easy();
    let manager = Manager::new(place.path(), ("127.0.0.1", network.stratum_port), PATIENCE);
    let mut pool = manager.start(&config);
    manager.wait("READY=1", 1, MINUTE);
    manager.wait("WATCHDOG=1", 4, MINUTE);
    pool.wait_ready();
    // A disk that stands still is no loop that does: to kill the process would not help.
    pool.drill(&json!({ "stall_disk": true }));
    let before = manager.heard("WATCHDOG=1").len();
    manager.wait("WATCHDOG=1", before + 4, MINUTE);
    pool.drill(&json!({ "stall_disk": false }));
    let signs = manager.heard("WATCHDOG=1");
    let longest = signs.windows(2).map(|two| two[1] - two[0]).max().unwrap();
    assert!(longest < PATIENCE, "{longest:?} without a sign of life");

    pool.drill(&json!({ "hang": "live" }));
    wait_until("the end of patience", MINUTE, || manager.has_lost_patience());
    pool.process.wait_log("event loop stalled", MINUTE);
    // Most of it still works, which is why nobody else would have noticed.
    assert_eq!(pool.try_get("/livez").unwrap().status, 200);
    // What the manager does then, and what comes after.
    pool.process.kill();
    let again = manager.start(&config);
    manager.wait("READY=1", 2, MINUTE);
    assert_eq!(again.terminate(), 0);
    audit(&config).assert_clean();
}

#[test]
fn an_early_end_is_told_once_and_readiness_never_after_it() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network);
    let manager = Manager::new(place.path(), ("127.0.0.1", network.stratum_port), PATIENCE);
    let mut pool = manager.start(&config);
    manager.wait("READY=1", 1, MINUTE);
    for generation in 1..=6 {
        wait_until("the next generation", MINUTE, || {
            pool.metric("meshpool_actor_generation", "share_ledger") == generation
                && pool.metric("meshpool_actor_up", "share_ledger") == 1
        });
        pool.drill(&json!({ "panic": "share_ledger" }));
    }
    assert_eq!(pool.process.code(MINUTE), 70);
    manager.wait("STOPPING=1", 1, MINUTE);
    assert!(manager.status().contains("share_ledger"), "{}", manager.status());
    assert_eq!(manager.heard("READY=1").len(), 1);
}

#[test]
fn miners_go_on_over_restarts_and_nothing_acknowledged_is_lost() {
    const MINERS: u32 = 8;
    let place = tempfile::tempdir().unwrap();
    let fleet = Fleet { miners: MINERS, hashrate: 25 };
    let network = Network::start(&place.path().join("network"), fleet, &[]);
    let config = Config::new(place.path(), &network).easy();
    let manager = Manager::new(place.path(), ("127.0.0.1", network.stratum_port), PATIENCE);
    let accepted = || -> Vec<usize> { network.miners.iter().map(|miner| miner.accepted().len()).collect() };
    let mut pool = manager.start(&config);
    let proof = Proof::default();
    for round in 0..3 {
        let before = accepted();
        wait_until("shares of all", MINUTE, || accepted().iter().zip(&before).all(|(now, then)| *now > then + 10));
        let asked_at = Instant::now();
        assert_eq!(pool.terminate(), 0);
        let (ended_at, last) = (Instant::now(), accepted());
        pool = manager.start(&config);
        wait_until("shares of all again", MINUTE, || accepted().iter().zip(&last).all(|(now, then)| now > then));
        println!(
            "restart {round}: drained in {:?}, all mine again {:?} later",
            ended_at - asked_at,
            ended_at.elapsed()
        );
        // Each came once: nobody was refused and came a second time.
        assert_eq!(pool.metric("meshpool_stratum_connections_total", ""), u64::from(MINERS));
    }
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
    proof.shares_are_kept(&network, &config);
    audit(&config).assert_clean();
}
