//! What can be read and not be written: told within ten seconds, gone within ten seconds, and no miner notices.
use std::time::{Duration, Instant};

use e2e::{Client, Cluster, Config, Fleet, Held, Network, Pool, Proof, Scratch, address_of, audit, sql, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const TEN_SECONDS: Duration = Duration::from_secs(10);
/// `/readyz` asks nobody, so it waits for nobody.
const AT_ONCE: Duration = Duration::from_secs(1);

const NO_WRITES: &str = "database takes no writes";
const NOT_BOOKED: &str = "shares wait to be booked";

/// What would grow if a miner noticed.
const NOTICED: [&str; 3] =
    ["meshpool_stratum_connections_total", "meshpool_shares_busy_total", "meshpool_shares_unknown_total"];

/// Waits until all of these are among the reasons; `/readyz` answers at once all the while.
fn told(pool: &mut Pool, wanted: &[&str]) {
    wait_until(&format!("{wanted:?} in /readyz"), TEN_SECONDS, || {
        let asked_at = Instant::now();
        let reasons = pool.reasons().unwrap_or_default();
        assert!(asked_at.elapsed() < AT_ONCE, "/readyz took {:?}", asked_at.elapsed());
        wanted.iter().all(|text| reasons.iter().any(|reason| reason.contains(text)))
    });
}

fn gone(pool: &Pool) {
    wait_until("a pool that is ready again", TEN_SECONDS, || pool.reasons().is_some_and(|reasons| reasons.is_empty()));
}

/// Makes the database refuse writes under load and lets it take them again.
fn costs_no_miner_anything(config: &Config, network: &Network, refuse: impl Fn() -> Box<dyn FnOnce()>) {
    let mut pool = config.start_ready();
    let accepted = || -> usize { network.miners.iter().map(|miner| miner.accepted().len()).sum() };
    wait_until("shares", MINUTE, || accepted() > 20);
    let figures = |pool: &Pool| NOTICED.map(|name| pool.metric(name, ""));
    let (before, shares) = (figures(&pool), accepted());
    let allow = refuse();
    told(&mut pool, &[NO_WRITES, NOT_BOOKED]);
    wait_until("shares without bookings", MINUTE, || accepted() > shares + 50);
    assert!(pool.metric("meshpool_log_backlog_bytes", "") > 0);
    allow();
    gone(&pool);
    assert_eq!(figures(&pool), before, "miners noticed");
    Proof::default().shares_are_booked(network, config);
    assert_eq!(pool.terminate(), 0);
    audit(config).assert_clean();
}

#[test]
fn a_postgres_that_becomes_read_only_is_told_and_costs_no_miner_anything() {
    let (place, postgres) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cluster = Cluster::start(postgres.path());
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 25 }, &[]);
    let config = Config::new(place.path(), &network).easy().database(&cluster.url());
    assert_eq!(config.command("migrate").0, 0);
    let url = cluster.url();
    costs_no_miner_anything(&config, &network, || {
        let set = |url: &str, value: &str| {
            sql(url, &format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
            sql(url, "SELECT pg_reload_conf()");
        };
        set(&url, "on");
        let url = url.clone();
        Box::new(move || set(&url, "off"))
    });
}

#[test]
fn an_sqlite_file_that_another_program_has_locked_is_told_and_costs_no_miner_anything() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 25 }, &[]);
    let config = Config::new(place.path(), &network).easy();
    let url = config.database_url();
    costs_no_miner_anything(&config, &network, || {
        let held = Held::begin(&url, "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE");
        Box::new(move || drop(held))
    });
}

#[test]
fn a_database_that_hangs_is_told_and_readyz_does_not_hang_with_it() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    let mut pool = config.start_ready();
    let held = Held::begin(&postgres.url(), "BEGIN; LOCK TABLE hosts, leases IN ACCESS EXCLUSIVE MODE");
    told(&mut pool, &["database does not answer", NO_WRITES]);
    drop(held);
    gone(&pool);
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn a_share_log_that_cannot_be_written_is_told_without_a_single_share() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    // The books are elsewhere: the limit on the size of files is the log's alone.
    let config = Config::new(place.path(), &network).trusting().easy().database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    let mut pool = config.start_ready();
    let cannot = "share log cannot be written: its directory takes no new file";

    pool.process.limit_files(Some(0));
    told(&mut pool, &[cannot]);
    pool.process.limit_files(None);
    gone(&pool);

    // Who runs the tests may have every right, so something stands in the way of a new file.
    let probe = config.log_dir().join("probe");
    wait_until("a moment between two probes", MINUTE, || std::fs::create_dir(&probe).is_ok());
    told(&mut pool, &[cannot]);
    // The file that is open still takes shares.
    let mut client = Client::login(&pool.stratum(), &address_of("a"), "a");
    let job = client.job();
    let id = client.submit(&job.id, job.nonce_start, &job.made_up_hash());
    assert_eq!(client.answer(id)["result"]["accepted"], true);
    std::fs::remove_dir(&probe).unwrap();
    gone(&pool);

    // A disk that does not answer at all.
    pool.drill(&serde_json::json!({ "stall_disk": true }));
    told(&mut pool, &["share log's disk does not answer"]);
    pool.drill(&serde_json::json!({ "stall_disk": false }));
    gone(&pool);
    assert_eq!(pool.terminate(), 0);
    audit(&config).assert_clean();
}
