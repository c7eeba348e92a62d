//! A panic in each actor: it comes back afresh, the others do not notice, whoever asked it is told.
use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{Client, Config, Fleet, Network, Pool, Proof, address_of, audit, wait_until};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::from_secs(3);

fn label(actor: &str) -> String {
    format!("actor=\"{actor}\"")
}

/// How often each actor was started.
fn generations(pool: &Pool) -> BTreeMap<String, u64> {
    let count = |actor: &String| pool.metric("meshpool_actor_generation", &label(actor));
    pool.actors().into_iter().map(|actor| (actor.clone(), count(&actor))).collect()
}

/// Panics an actor and waits until it is back.
fn panic_and_return(pool: &Pool, actor: &str) {
    let before = pool.metric("meshpool_actor_generation", &label(actor));
    pool.drill(&json!({ "panic": actor }));
    wait_until(&format!("{actor} to come back"), MINUTE, || {
        pool.metric("meshpool_actor_generation", &label(actor)) == before + 1
            && pool.metric("meshpool_actor_up", &label(actor)) == 1
    });
}

#[test]
fn a_panic_in_any_actor_restarts_it_alone_while_miners_work_on() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 25 }, &[]);
    let config = Config::new(place.path(), &network).easy();
    let mut pool = config.start_ready();
    let proof = Proof::default();
    let accepted = |pool: &Pool| pool.metric("meshpool_shares_accepted_total", "");
    wait_until("shares", MINUTE, || accepted(&pool) > 20);
    let connections = pool.metric("meshpool_stratum_connections_total", "");
    let actors = pool.actors();
    assert!(actors.len() >= 6, "{actors:?}");
    for actor in &actors {
        let mut expected = generations(&pool);
        panic_and_return(&pool, actor);
        *expected.get_mut(actor).unwrap() += 1;
        assert_eq!(generations(&pool), expected, "after a panic of {actor}");
        assert_eq!(pool.metric("meshpool_actor_restarts_total", &format!("{},cause=\"panicked\"", label(actor))), 1);
        pool.wait_ready();
        let before = accepted(&pool);
        wait_until("shares after the panic", MINUTE, || accepted(&pool) > before + 5);
    }
    assert_eq!(pool.metric("meshpool_stratum_connections_total", ""), connections, "miners had to come back");
    proof.shares_are_booked(&network, &config);
    proof.blocks_are_credited_once(&network, &config, 3);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
    proof.shares_are_kept(&network, &config);
    audit(&config).assert_clean();
}

#[test]
fn a_share_in_the_hands_of_the_disk_survives_the_actor_that_brought_it() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).trusting().easy();
    let mut pool = config.start_ready();
    let mut proof = Proof::default();
    let mut client = Client::login(&pool.stratum(), &address_of("waiting"), "rig");
    let job = client.job();
    let hash = job.made_up_hash();
    pool.drill(&json!({ "stall_disk": true }));
    let waiting = client.submit(&job.id, job.nonce_start, &hash);
    wait_until("a share under way", MINUTE, || pool.metric("meshpool_actor_depth", "share_ledger") > 0);
    pool.drill(&json!({ "panic": "share_ledger" }));
    wait_until("the ledger to be down", MINUTE, || pool.metric("meshpool_actor_up", &label("share_ledger")) == 0);
    let refused = client.submit(&job.id, job.nonce_start + 1, &hash);
    assert_eq!(client.try_answer(refused, AT_ONCE).unwrap()["error"], "server busy, retry");
    assert!(pool.reasons().unwrap().iter().any(|reason| reason.contains("share_ledger")), "{:?}", pool.reasons());
    // The next generation waits until the disk has what the one before was given.
    pool.drill(&json!({ "stall_disk": false }));
    assert_eq!(client.answer(waiting)["result"]["accepted"], true);
    proof.acknowledged(&job, job.nonce_start);
    pool.wait_ready();
    let again = client.submit(&job.id, job.nonce_start + 1, &hash);
    assert_eq!(client.answer(again)["result"]["accepted"], true);
    proof.acknowledged(&job, job.nonce_start + 1);
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn shares_whose_check_dies_with_its_actor_are_told_and_can_be_offered_again() {
    const SHARES: u64 = 12;
    let place = tempfile::tempdir().unwrap();
    // Each check takes long enough for most to wait.
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &["--pow-memory-kib", "262144"]);
    let config = Config::new(place.path(), &network)
        .easy()
        .set("validation.pow_memory_kib", 262_144)
        .set("stratum.require_claimed_hash", false);
    let pool = config.start_ready();
    let mut proof = Proof::default();
    let mut client = Client::login(&pool.stratum(), &address_of("unproven"), "rig");
    let job = client.job();
    let asked: Vec<(u64, u64)> =
        (job.nonce_start..job.nonce_start + SHARES).map(|nonce| (nonce, client.submit_bare(&job.id, nonce))).collect();
    wait_until("checks under way", MINUTE, || pool.metric("meshpool_checks_running", "") > 0);
    pool.drill(&json!({ "panic": "validation" }));
    let mut told = Vec::new();
    for (nonce, id) in asked {
        let answer = client.try_answer(id, AT_ONCE).expect("an answer, although nobody checks it any more");
        match answer["error"].as_str() {
            Some("server busy, retry") => told.push(nonce),
            None => proof.acknowledged(&job, nonce),
            Some(other) => panic!("{other}"),
        }
    }
    assert!(!told.is_empty(), "the panic met no waiting share");
    wait_until("the actor to be back", MINUTE, || pool.metric("meshpool_actor_up", &label("validation")) == 1);
    for nonce in told {
        let id = client.submit_bare(&job.id, nonce);
        let answer = client.answer(id);
        assert_eq!(
            (&answer["result"]["accepted"], &answer["result"]["verified"]),
            (&json!(true), &json!(true)),
            "{answer}"
        );
        proof.acknowledged(&job, nonce);
    }
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn an_actor_that_panics_again_and_again_ends_the_process_with_70() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::PRESET, &[]);
    let config = Config::new(place.path(), &network).easy();
    let mut pool = config.start_ready();
    let proof = Proof::default();
    for _ in 0..5 {
        panic_and_return(&pool, "share_ledger");
    }
    pool.drill(&json!({ "panic": "share_ledger" }));
    assert_eq!(pool.process.code(MINUTE), 70);
    assert!(pool.process.log().contains("share_ledger"), "the log names who gave up");
    proof.shares_are_kept(&network, &config);
    audit(&config).assert_clean();
}
