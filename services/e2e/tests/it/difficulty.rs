//! What a miner's speed was measured to be, over reconnects and restarts.
use std::time::{Duration, Instant};

use e2e::{Client, Config, Fleet, Job, Network, address_of, wait_until};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

/// A pool that believes every share, on a network whose difficulty bounds nothing.
fn setup(place: &std::path::Path) -> (Network, Config) {
    let network = Network::start(&place.join("network"), Fleet::NONE, &["--difficulty-floor", "100000000"]);
    let config = Config::new(place, &network).trusting().set("vardiff.initial", 60).set("vardiff.window", "5m");
    (network, config)
}

/// Submits shares of the newest job at this pace until the pool has made them this much harder.
fn mine(client: &mut Client, pause: Duration, harder: f64) -> Job {
    let first = client.job();
    let mut job = first.clone();
    let give_up_at = Instant::now() + MINUTE;
    for n in 0.. {
        assert!(Instant::now() < give_up_at, "the difficulty did not rise");
        let id = client.submit(&job.id, job.nonce_start + n, &job.made_up_hash());
        assert_eq!(client.answer(id)["status"], "ok");
        job = client.job();
        if easier(&job, &first) >= harder {
            break;
        }
        std::thread::sleep(pause);
    }
    job
}

/// How many times easier the second job is.
fn easier(job: &Job, than: &Job) -> f64 {
    let leading = |job: &Job| u64::from_be_bytes(job.target.as_bytes()[..8].try_into().unwrap()) as f64;
    leading(than) / leading(job)
}

#[test]
fn a_measured_difficulty_survives_a_reconnect_a_restart_and_a_crash() {
    let place = tempfile::tempdir().unwrap();
    let (_network, config) = setup(place.path());
    let payee = address_of("steady");
    let mut pool = config.start_ready();
    let mut client = Client::login(&pool.stratum(), &payee, "rig");
    let initial = client.job();
    mine(&mut client, Duration::from_millis(20), 16.0);
    // Shares at the raised difficulty, so that there is something to measure there.
    for n in 0..8 {
        let job = client.job();
        let id = client.submit(&job.id, job.nonce_end - n, &job.made_up_hash());
        assert_eq!(client.answer(id)["status"], "ok");
    }
    drop(client);

    let again = |stratum: &str, worker: &str| easier(&Client::login(stratum, &payee, worker).job(), &initial);
    wait_until("the hint of the session that ended", MINUTE, || again(&pool.stratum(), "rig") > 10.0);
    assert!((0.99..1.01).contains(&again(&pool.stratum(), "another")), "a hint belongs to one worker");
    let measured = again(&pool.stratum(), "rig");
    assert_eq!(pool.terminate(), 0);

    pool = config.start_ready();
    assert!((again(&pool.stratum(), "rig") / measured - 1.0).abs() < 0.01, "after a restart");
    pool.process.kill();
    pool = config.start_ready();
    assert!((again(&pool.stratum(), "rig") / measured - 1.0).abs() < 0.01, "after a crash");
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn wishes_of_a_client_do_not_add_up() {
    let place = tempfile::tempdir().unwrap();
    let (_network, config) = setup(place.path());
    let pool = config.start_ready();
    let payee = address_of("wishful");
    let initial = Client::login(&pool.stratum(), &payee, "rig").job();
    for _ in 0..4 {
        for (wish, factor) in [(1_u64, 0.25), (u64::MAX, 4.0), (120, 2.0)] {
            let mut client = Client::connect(&pool.stratum());
            client.send(&json!({ "id": 1, "method": "login", "params": {
                "address": payee, "worker": "rig", "protocol_version": 2, "difficulty_hint": wish,
                "capabilities": ["submit_claimed_hash", "difficulty_hint"],
            }}));
            assert_eq!(client.answer(1)["status"], "ok");
            let granted = easier(&client.job(), &initial);
            assert!((granted / factor - 1.0).abs() < 0.01, "{wish}: {granted}");
        }
    }
    assert_eq!(pool.terminate(), 0);
}
