//! What a false share costs: proofs first, then refusal, over a restart too, and nobody else.
use std::time::Duration;

use e2e::{Client, Config, Fleet, Job, Network, Solver, address_of, audit, wait_until};
use serde_json::Value;

const MINUTE: Duration = Duration::from_secs(60);
/// Shares of an honest miner's warm-up: a stake behind which one in fifteen is checked.
const WARM: u64 = 30;

/// Submits a hash that nobody computed; the answer.
fn cheat(client: &mut Client, job: &Job, nonce: u64) -> Value {
    let id = client.submit(&job.id, job.nonce_start + nonce, &job.made_up_hash());
    client.answer(id)
}

/// Logs in; the refusal.
fn refusal(pool: &str, payee: &str) -> String {
    let mut client = Client::connect(pool);
    client.send(&serde_json::json!({
        "id": 1,
        "method": "login",
        "params": {
            "address": payee, "worker": "rig", "protocol_version": 2,
            "capabilities": ["login_negotiation", "share_validation_status", "submit_claimed_hash"],
        },
    }));
    client.answer(1)["error"].as_str().unwrap_or_default().to_owned()
}

/// Submits a true share; its status.
fn mine(client: &mut Client, solver: &mut Solver, from: &mut u64) -> String {
    let job = client.job();
    let (nonce, hash) = solver.share(&job, (*from).max(job.nonce_start));
    *from = nonce + 1;
    let id = client.submit(&job.id, nonce, &hash);
    let answer = client.answer(id);
    answer["result"]["status"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn false_shares_lead_to_proofs_then_to_refusal_and_a_restart_forgets_neither_them_nor_the_honest() {
    let place = tempfile::tempdir().unwrap();
    // So hard that no share is a block.
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "1000000"]);
    let config = Config::new(place.path(), &network)
        .set("vardiff.enabled", false)
        .set("validation.sample_rate", 0)
        .set("validation.min_sample_every", 0)
        .set("validation.warmup_shares", WARM);
    let pool = config.start_ready();
    let (thief, worker) = (address_of("thief"), address_of("worker"));

    let mut honest = Client::login(&pool.stratum(), &worker, "rig");
    let (mut solver, mut from) = (Solver::default(), 0);
    for _ in 0..WARM {
        assert_eq!(mine(&mut honest, &mut solver, &mut from), "provisional");
    }

    let mut client = Client::login(&pool.stratum(), &thief, "rig");
    let job = client.job();
    assert_eq!(cheat(&mut client, &job, 0)["result"]["status"], "provisional", "acknowledged first, checked after");
    wait_until("the first strike", MINUTE, || pool.metric("meshpool_pairs_forced", "") == 1);
    let mut strikes = 1;
    let refused = loop {
        let error = cheat(&mut client, &job, strikes)["error"].as_str().unwrap_or_default().to_owned();
        if error != "invalid share proof" {
            break error;
        }
        strikes += 1;
    };
    assert_eq!(strikes, 3);
    let quarantined = "address quarantined: invalid share proof (fraud strikes=3, until ";
    assert!(refused.starts_with(quarantined), "{refused}");
    assert!(refusal(&pool.stratum(), &thief).starts_with(quarantined));
    // Same client address, another payee: not its fault.
    assert_eq!(mine(&mut honest, &mut solver, &mut from), "provisional");
    wait_until("the verdicts in the books", MINUTE, || config.books().verified(&worker) >= WARM);
    assert_eq!(pool.terminate(), 0);

    let pool = config.start_ready();
    assert!(refusal(&pool.stratum(), &thief).starts_with(quarantined), "a restart frees nobody");
    let mut honest = Client::login(&pool.stratum(), &worker, "rig");
    let mut from = 0;
    for _ in 0..10 {
        assert_eq!(mine(&mut honest, &mut solver, &mut from), "provisional");
    }
    let mut newcomer = Client::login(&pool.stratum(), &address_of("newcomer"), "rig");
    mine(&mut newcomer, &mut solver, &mut 0);
    wait_until("the newcomer's check", MINUTE, || pool.metric("meshpool_checks_total", "") > 0);
    let sampled = pool.metric("meshpool_checks_sampled_total", "");
    assert!((1..=10).contains(&sampled), "{sampled}: who has warmed up stays warm, and keeps its stake");
    assert_eq!(pool.terminate(), 0);
    audit(&config).assert_clean();
}

#[test]
fn before_a_credit_idle_lanes_check_what_chance_has_missed() {
    let place = tempfile::tempdir().unwrap();
    // Blocks rare enough that most shares are no claims of one: those are checked whatever chance says.
    let slow = ["--target-secs", "4", "--difficulty-floor", "80"];
    let network = Network::start(&place.path().join("network"), Fleet::PRESET, &slow);
    // Only as much is drawn as each pair's stake demands, and unchecked work counts as much as checked work at most.
    let config = Config::new(place.path(), &network)
        .set("validation.sample_rate", 0)
        .set("validation.warmup_shares", 0)
        .set("validation.min_sample_every", 1_000_000)
        .set("pplns.provisional_cap_multiplier", 1)
        .set("blocks.confirmations", 5);
    let pool = config.start_ready();
    let credited = || {
        let blocks = config.books().blocks();
        blocks.into_iter().filter(|block| block.state == store::blocks::BlockState::Credited).collect::<Vec<_>>()
    };
    wait_until("credits and checks", 3 * MINUTE, || {
        credited().len() >= 3 && pool.metric("meshpool_rechecks_total", "") > 0
    });
    let books = config.books();
    let mut unchecked = 0;
    for block in credited() {
        let works = books.window_work(&block);
        for weight in books.weights(&block) {
            let work = works.iter().find(|work| work.miner == weight.miner).unwrap();
            let all = (work.verified.get() + work.provisional.get()).cast_signed();
            assert_eq!(weight.weight, all, "all of a payee's work counts at {}", block.height);
            unchecked += weight.provisional.get();
        }
    }
    assert!(unchecked > 0, "it is a sample, not all of it");
    assert_eq!(pool.terminate(), 0);
    audit(&config).assert_clean();
}

#[test]
fn a_cheater_loses_all_that_it_was_not_paid_for_and_nobody_else_loses_anything() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "1000000"]);
    let config = Config::new(place.path(), &network)
        .set("vardiff.enabled", false)
        .set("validation.sample_rate", 0.2)
        .set("validation.min_sample_every", 0)
        .set("validation.warmup_shares", 10);
    let pool = config.start_ready();
    let (turncoat, worker) = (address_of("turncoat"), address_of("worker"));
    let mut solver = Solver::default();
    for payee in [&worker, &turncoat] {
        let (mut client, mut from) = (Client::login(&pool.stratum(), payee, "rig"), 0);
        for _ in 0..30 {
            assert_eq!(mine(&mut client, &mut solver, &mut from), "provisional");
        }
    }
    wait_until("warm miners", MINUTE, || [&worker, &turncoat].iter().all(|payee| config.books().verified(payee) >= 10));
    let honest = config.books().verified(&worker);

    let mut client = Client::login(&pool.stratum(), &turncoat, "rig");
    let job = client.job();
    let mut nonce = 0;
    while pool.metric("meshpool_pairs_forced", "") == 0 {
        cheat(&mut client, &job, nonce);
        nonce += 1;
    }
    wait_until("the strike in the books", MINUTE, || !config.books().penalized_origins(&turncoat).is_empty());
    let origins = config.books().penalized_origins(&turncoat);
    wait_until("the void", MINUTE, || config.books().unchecked(&turncoat, &origins) == 0);
    let voided = pool.metric("meshpool_shares_voided_total", "");
    assert!(voided >= 10, "{voided}: its latest checked shares too");
    let books = config.books();
    assert!(books.unchecked(&worker, &origins) > 0, "a neighbour keeps its work");
    assert!(books.verified(&worker) >= honest);
    assert_eq!(pool.terminate(), 0);
    audit(&config).assert_clean();
}
