//! From nothing to a running pool, and back.
use std::time::{Duration, Instant};

use e2e::{Client, Config, Fleet, Network, Pool, Proof, address_of, audit, free_port, get, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const TWO_MINUTES: Duration = Duration::from_secs(120);

/// Whether the daemon of `up --devnet` is there.
fn has_network(config: &Config) -> bool {
    get(&format!("{}/api/status", config.daemon_url())).is_ok()
}

/// Waits for the first state of a block in the API.
fn wait_block(pool: &Pool, state: &str) {
    wait_until(&format!("a block that is {state}"), MINUTE, || {
        let blocks = pool.get("/api/blocks");
        blocks["items"].as_array().unwrap().iter().any(|block| block["state"] == state)
    });
}

#[test]
fn the_devnet_reaches_a_settled_payout_within_two_minutes_and_shows_it() {
    let place = tempfile::tempdir().unwrap();
    let config = Config::devnet(place.path());
    let began_at = Instant::now();
    let mut pool = config.start_ready();
    assert!(has_network(&config));
    let out = pool.process.out();
    for said in
        [format!("http://127.0.0.1:{}/", config.api_port()), config.data_dir().display().to_string(), pool.stratum()]
    {
        assert!(out.contains(&said), "it does not say where `{said}` is: {out}");
    }
    let page = pool.try_get("/").unwrap();
    assert!(page.status == 200 && page.body.contains("<html"), "{page:?}");
    wait_until("a settled payout in the API", TWO_MINUTES.saturating_sub(began_at.elapsed()), || {
        let payouts = pool.get("/api/payouts/recent");
        payouts["items"].as_array().unwrap().iter().any(|payout| payout["state"] == "settled")
    });
    println!("settled after {:?}", began_at.elapsed());
    wait_block(&pool, "credited");
    let stats = pool.get("/api/stats");
    assert!(stats["pool"]["paid_to_miners_total"].as_u64() > Some(0), "{stats}");
    pool.process.signal("TERM");
    assert_eq!(pool.process.code(MINUTE), 0);
    assert!(!has_network(&config), "the network outlives the pool");
    audit(&config).assert_clean();
}

#[test]
fn the_devnet_goes_on_where_it_was_and_ends_with_ctrl_c() {
    let place = tempfile::tempdir().unwrap();
    let config = Config::devnet(place.path());
    let pool = config.start_ready();
    wait_block(&pool, "credited");
    assert_eq!(pool.terminate(), 0);
    let before = config.books().blocks().len();
    let mut pool = config.start_ready();
    wait_until("more blocks", MINUTE, || config.books().blocks().len() > before);
    pool.process.signal("INT");
    assert_eq!(pool.process.code(MINUTE), 0);
    assert!(!has_network(&config), "the network outlives the pool");
    audit(&config).assert_clean();
}

#[test]
fn the_devnet_ends_with_a_pool_that_is_killed() {
    let place = tempfile::tempdir().unwrap();
    let config = Config::devnet(place.path());
    let mut pool = config.start_ready();
    assert!(has_network(&config));
    pool.process.kill();
    wait_until("the end of the network", Duration::from_secs(20), || !has_network(&config));
    // And nothing of it is in the way of the next one.
    assert_eq!(config.start_ready().terminate(), 0);
}

#[test]
fn a_pool_that_ends_cleanly_leaves_nothing_to_be_folded() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::PRESET, &[]);
    let config = Config::new(place.path(), &network).easy();
    let pool = config.start_ready();
    let proof = Proof::default();
    let accepted = || -> usize { network.miners.iter().map(|miner| miner.accepted().len()).sum() };
    wait_until("shares of both miners", MINUTE, || network.miners.iter().all(|miner| miner.accepted().len() > 20));
    assert_eq!(pool.terminate(), 0);
    let before = accepted();
    assert!(proof.shares_are_kept(&network, &config) >= before);
    let booked = config.books().shares().len();
    assert!(booked >= accepted(), "{booked} of {} shares are in the database", accepted());
    audit(&config).assert_clean();
}

#[test]
fn a_second_pool_does_not_start_on_the_same_data() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network);
    let first = config.start_ready();
    let (code, _, log) = config.command("up");
    assert_eq!(code, 64);
    assert!(log.contains("data.dir") && log.contains("in use by another process"), "{log}");
    assert_eq!(first.reasons(), Some(Vec::new()));
    assert_eq!(first.terminate(), 0);
}

#[test]
fn a_pool_listens_on_every_place_that_is_named_and_ignores_an_orchestrators_variables() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network);
    let (second, page) = (free_port(), free_port());
    let places = [format!("127.0.0.1:{}", network.stratum_port), format!("localhost:{second}")];
    let pages = format!("127.0.0.1:{}, localhost:{page}", config.api_port());
    let config = config.set("stratum.listen", places.to_vec()).set("api.listen", pages);
    let config = config.env("POOL_PORT", "tcp://10.3.0.7:3333").env("POOL_SERVICE_HOST", "10.3.0.7");
    let pool = config.start_ready();
    for address in [pool.stratum(), format!("localhost:{second}")] {
        let _logged_in = Client::login(&address, &address_of("a"), "a");
    }
    assert_eq!(get(&format!("http://localhost:{page}/livez")).unwrap().status, 200);
    let info = pool.get("/api/info");
    assert_eq!(info["stratum_port"], network.stratum_port);
    assert_eq!(info["stratum_listen"], places.join(", "));
    let (out, log) = (pool.process.out(), pool.process.log());
    for said in [pool.stratum(), format!("stratum  127.0.0.1:{second}"), format!("page     http://127.0.0.1:{page}/")] {
        assert!(out.contains(&said), "{said}: {out}");
    }
    assert_eq!(log.matches("POOL_PORT, POOL_SERVICE_HOST").count(), 1, "{log}");
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn a_restart_says_nothing_of_blocks_that_was_said_before() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::brisk(&place.path().join("network"), &[]);
    let config = Config::new(place.path(), &network);
    let told = |log: &str| -> Vec<String> {
        let lines = log.lines().filter(|line| line.contains("block accepted") || line.contains("block lost"));
        lines.filter_map(|line| Some(line.split_once("id=")?.1.split_whitespace().next()?.to_owned())).collect()
    };
    for run in 0..3 {
        let pool = config.start_ready();
        if run > 0 {
            pool.process.wait_log("open block claims restored from the share log", MINUTE);
        }
        wait_until("blocks that are told of", MINUTE, || told(&pool.process.log()).len() >= 3);
        assert_eq!(pool.terminate(), 0);
    }
    // All processes write to one file.
    let mut all = told(&std::fs::read_to_string(place.path().join("pool.log")).unwrap());
    let lines = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), lines, "a block was told of twice");
    audit(&config).assert_clean();
}
