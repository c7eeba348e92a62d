//! A database that goes away and comes back under load: no miner notices.
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use daemon_sim::MineOrder;
use e2e::{Client, Cluster, Config, Fleet, Network, address_of, wait_until};
use loadgen::{self, Common, Kind, LoadArgs, Report, SharesArgs};

const MINUTE: Duration = Duration::from_secs(60);
const AWAY: Duration = Duration::from_secs(10);
/// Load before the database goes, while it is away, and after it is back.
const LOAD: Duration = Duration::from_secs(20);

#[test]
fn a_database_that_is_away_for_ten_seconds_costs_no_miner_anything() {
    let place = tempfile::tempdir().unwrap();
    let postgres = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(postgres.path());
    let network =
        Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "1000000", "--seed", "4"]);
    let config = Config::new(place.path(), &network).trusting().easy().database(&cluster.url());
    let (code, _, log) = config.command("migrate");
    assert_eq!(code, 0, "{log}");
    let mut pool = config.start_ready();
    let list = place.path().join("accepted.jsonl");
    let load = start_load(&pool.stratum(), list.clone());
    let mut watcher = Client::login(&pool.stratum(), &address_of("watcher"), "w");
    let first = watcher.job();
    let accepted = || pool.metric("meshpool_shares_accepted_total", "");
    wait_until("shares", MINUTE, || accepted() > 0);

    cluster.pause();
    let gone_at = Instant::now();
    let before = accepted();
    // A new block reaches miners, and somebody new may come: neither needs the database.
    network.mine(&MineOrder::default());
    let next = watcher.job_above(first.height);
    assert_ne!(first.header_base, next.header_base);
    let mut newcomer = Client::login(&pool.stratum(), &address_of("newcomer"), "n");
    let job = newcomer.job();
    let id = newcomer.submit(&job.id, job.nonce_start, &job.made_up_hash());
    assert_eq!(newcomer.answer(id)["result"]["accepted"], true);
    wait_until("the end of the outage", MINUTE, || gone_at.elapsed() >= AWAY);
    assert!(accepted() > before + 1000, "the load went on: {before}, {}", accepted());
    cluster.resume();

    let report = load.join().unwrap();
    let figure = |name: &str| report.get(name).unwrap();
    assert_eq!(["rejected", "disconnects", "unanswered"].map(figure), [0.0; 3], "{report}");
    assert!(watcher.is_open() && newcomer.is_open(), "a connection was dropped");
    assert!(pool.process.ended().is_none(), "the pool ended");
    wait_until("an empty backlog", MINUTE, || pool.metric("meshpool_log_backlog_bytes", "") == 0);
    assert_eq!(pool.terminate(), 0);
    let (code, report, log) = config.command_with("audit", &["--accepted", list.to_str().unwrap()]);
    assert_eq!(code, 0, "{report}\n{log}");
}

fn start_load(stratum: &str, accepted: PathBuf) -> std::thread::JoinHandle<Report> {
    let common = Common {
        pool: stratum.to_socket_addrs().unwrap().next().unwrap(),
        connections: 40,
        per_source: 8,
        pool_pid: None,
        seed: 5,
        json: false,
        require: Vec::new(),
    };
    let kind = Kind::Shares(SharesArgs {
        common,
        in_flight: 1,
        rate: Some(400.0),
        duration: LOAD,
        warm_up: Duration::ZERO,
        accepted: Some(accepted),
    });
    std::thread::spawn(move || loadgen::run(&LoadArgs { kind }).unwrap_or_else(|error| panic!("{error}")))
}
