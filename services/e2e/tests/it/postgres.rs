//! The same promises with the books in PostgreSQL, and what only a database on the network can do: go away.
use std::time::Duration;

use e2e::{Config, Fleet, Network, Proof, Scratch, audit, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(120);

#[test]
fn a_pool_on_postgres_reaches_a_settled_payout() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::brisk(&place.path().join("network"), &[]);
    let config = Config::new(place.path(), &network).set("payout.interval", "1s").database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    let pool = config.start_ready();
    let proof = Proof::default();
    wait_until("a settled payout in the API", SETTLE, || {
        let payouts = pool.get("/api/payouts/recent");
        payouts["items"].as_array().unwrap().iter().any(|payout| payout["state"] == "settled")
    });
    let (pool, settled) = proof.payouts_are_settled(&network, pool);
    assert!(settled > 0);
    proof.shares_are_booked(&network, &config);
    proof.blocks_are_credited_once(&network, &config, 3);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn mining_goes_on_while_the_database_is_away_and_everything_is_booked_after() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 25 }, &[]);
    let config = Config::new(place.path(), &network).easy().database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    let mut pool = config.start_ready();
    let accepted = || -> usize { network.miners.iter().map(|miner| miner.accepted().len()).sum() };
    wait_until("shares", MINUTE, || accepted() > 20);
    let connections = pool.metric("meshpool_stratum_connections_total", "");
    postgres.shut();
    pool.wait_reason("database does not answer", MINUTE);
    let (before, height) = (accepted(), network.tip().height);
    wait_until("shares and blocks without a database", MINUTE, || {
        accepted() > before + 100 && network.tip().height > height + 1
    });
    assert!(pool.metric("meshpool_log_backlog_bytes", "") > 0);
    postgres.open();
    pool.wait_ready();
    let proof = Proof::default();
    proof.shares_are_booked(&network, &config);
    assert_eq!(pool.metric("meshpool_stratum_connections_total", ""), connections, "miners had to come back");
    proof.blocks_are_credited_once(&network, &config, 3);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
    proof.shares_are_kept(&network, &config);
    audit(&config).assert_clean();
}
