//! The pool is killed at random moments while two miners work, and loses nothing.
use std::time::{Duration, Instant};

use e2e::{Client, Config, Fleet, Network, Proof, Scratch, address_of, audit, wait_until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Kills when nobody asks for more.
const KILLS: u64 = 8;
/// With the other database, which changes less of what a kill meets.
const KILLS_ON_POSTGRES: u64 = 4;

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Lets time pass; the moment of a kill is not a state to wait for.
fn live(time: Duration) {
    std::thread::sleep(time);
}

/// The moment of the next kill: one of three hits the start, the others any moment of the life after it.
fn lifetime(chance: &mut StdRng) -> (bool, Duration) {
    match chance.random_range(0..3) {
        0 => (false, Duration::from_millis(chance.random_range(0..400))),
        _ => (true, Duration::from_millis(chance.random_range(0..8_000))),
    }
}

/// Kills a pool again and again; `postgres` holds its books, or else SQLite does.
#[expect(clippy::print_stdout, reason = "a failed campaign can be repeated by what it said")]
fn campaign(postgres: Option<&Scratch>, kills: u64) {
    let seed = asked("MESHPOOL_E2E_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("MESHPOOL_E2E_SEED={seed} MESHPOOL_E2E_KILLS={kills}");
    let mut chance = StdRng::seed_from_u64(seed);
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 25 }, &[]);
    let mut config = Config::new(place.path(), &network).easy().set("payout.interval", "1s");
    if let Some(postgres) = postgres {
        config = config.database(&postgres.url());
        assert_eq!(config.command("migrate").0, 0);
    }
    let proof = Proof::default();
    for kill in 1..=kills {
        let (after_ready, time) = lifetime(&mut chance);
        let began_at = Instant::now();
        let mut pool = if after_ready { config.start_ready() } else { config.start() };
        let started = began_at.elapsed();
        if after_ready {
            audit(&config).assert_clean();
        }
        live(time);
        pool.process.kill();
        let kept = if config.log_dir().exists() { proof.shares_are_kept(&network, &config) } else { 0 };
        println!("kill {kill}: {time:?} after {started:?} of start, {kept} shares kept");
        // Killed before it made its tables, it has no books to look at.
        if kept > 0 {
            proof.payouts_are_sent_once(&network, &config);
            audit(&config).assert_clean();
        }
    }
    let pool = config.start_ready();
    let before = proof.shares_are_kept(&network, &config);
    wait_until("shares after the last start", Duration::from_secs(60), || {
        proof.shares_are_kept(&network, &config) > before + 20
    });
    proof.shares_are_booked(&network, &config);
    let blocks = proof.blocks_are_credited_once(&network, &config, 3);
    audit(&config).assert_clean();
    wait_until("a payout", Duration::from_secs(60), || !config.books().payouts().is_empty());
    let (pool, payouts) = proof.payouts_are_settled(&network, pool);
    println!("{before} shares, {blocks} blocks and {payouts} payouts in all");
    assert!(payouts > 0, "nothing was paid");
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
    audit(&config).assert_clean();
}

#[test]
fn a_killed_pool_loses_no_acknowledged_share_and_books_everything_once() {
    campaign(None, asked("MESHPOOL_E2E_KILLS").unwrap_or(KILLS));
}

#[test]
fn a_killed_pool_on_postgres_loses_no_acknowledged_share_and_books_everything_once() {
    campaign(Some(&Scratch::postgres()), asked("MESHPOOL_E2E_KILLS").unwrap_or(KILLS_ON_POSTGRES));
}

#[test]
fn a_flooded_pool_that_is_killed_has_every_share_that_it_acknowledged() {
    const FLOOD_KILLS: u64 = 5;
    let seed = asked("MESHPOOL_E2E_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("MESHPOOL_E2E_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let place = tempfile::tempdir().unwrap();
    // Nothing is hashed here, so that there are thousands of shares in a second.
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "1000000"]);
    let config = Config::new(place.path(), &network).trusting().easy();
    let mut proof = Proof::default();
    for kill in 1..=FLOOD_KILLS {
        let mut pool = config.start_ready();
        let flood = |name: &str| {
            let mut client = Client::login(&pool.stratum(), &address_of(name), "flood");
            let job = client.job();
            let thread_job = job.clone();
            (job, std::thread::spawn(move || client.flood(&thread_job)))
        };
        let floods = [flood("first"), flood("second")];
        live(Duration::from_millis(chance.random_range(100..1_500)));
        pool.process.kill();
        for (job, flood) in floods {
            let acknowledged = flood.join().unwrap().acknowledged;
            acknowledged.iter().for_each(|nonce| proof.acknowledged(&job, *nonce));
        }
        println!("kill {kill}: {} shares kept", proof.shares_are_kept(&network, &config));
        audit(&config).assert_clean();
    }
    let pool = config.start_ready();
    assert!(proof.shares_are_kept(&network, &config) > 1_000);
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}
