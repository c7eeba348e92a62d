//! SIGTERM and SIGHUP: nobody who was heard is left without an answer, and nothing that was said is forgotten.
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use e2e::{Client, Config, Fleet, Flood, Job, Network, Proof, address_of, program, repository, wait_until};
use serde_json::json;
use socket2::SockRef;

const MINUTE: Duration = Duration::from_secs(60);
/// How long a pool may take from SIGTERM to its end.
const GRACE: Duration = Duration::from_secs(15);
const CONNECTIONS: usize = 24;

/// A connection that submits without a pause, on a thread of its own.
fn flood(address: &str, name: &str) -> (Job, JoinHandle<Flood>) {
    let mut client = Client::login(address, &address_of(name), "flood");
    let job = client.job();
    let thread_job = job.clone();
    (job, std::thread::spawn(move || client.flood(&thread_job)))
}

/// Nothing is hashed here, so that there are thousands of shares in a second.
fn unmined(place: &Path) -> Network {
    Network::start(&place.join("network"), Fleet::NONE, &["--difficulty-floor", "1000000"])
}

/// Every share that a flood was told is accepted is in the books, once, and no other is.
fn are_booked(config: &Config, place: &Path, floods: &[(Job, Flood)]) {
    let list = place.join("accepted");
    let mut file = std::fs::File::create(&list).unwrap();
    let mut count = 0;
    for (job, flood) in floods {
        let merkle_root = job.header_base.merkle_root().to_string();
        for nonce in &flood.acknowledged {
            writeln!(file, "{}", json!({ "merkle_root": merkle_root, "nonce": nonce })).unwrap();
            count += 1;
        }
    }
    let (code, report, log) = config.command_with("audit", &["--accepted", &list.display().to_string()]);
    assert_eq!(code, 0, "{report}{log}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["differences"], &report["acknowledged"]), (&json!(0), &json!(count)), "{report}");
    assert_eq!(config.books().shares().len(), count, "shares that nobody was told of");
}

#[test]
fn a_pool_that_is_told_to_stop_answers_everything_it_has_read_and_keeps_it() {
    let place = tempfile::tempdir().unwrap();
    let network = unmined(place.path());
    let config = Config::new(place.path(), &network).trusting().easy().set("stratum.max_connections_per_ip", 1000);
    let mut pool = config.start_ready();
    let floods: Vec<_> = (0..CONNECTIONS).map(|n| flood(&pool.stratum(), &format!("miner {n}"))).collect();
    wait_until("shares", MINUTE, || pool.metric("meshpool_shares_accepted_total", "") > 2_000);

    // The disk stands still, so that all of them are owed answers when the pool is told.
    pool.drill(&json!({ "stall_disk": true }));
    let told_at = Instant::now();
    pool.process.signal("TERM");
    pool.process.wait_log("stopping", MINUTE);
    wait_until("that nobody is let in any more", MINUTE, || TcpStream::connect(pool.stratum()).is_err());
    assert!(pool.process.ended().is_none(), "it owes answers and has ended");
    pool.drill(&json!({ "stall_disk": false }));
    assert_eq!(pool.process.code(MINUTE), 0);
    let took = told_at.elapsed();
    assert!(took < GRACE, "it took {took:?}");

    let floods: Vec<_> = floods.into_iter().map(|(job, flood)| (job, flood.join().unwrap())).collect();
    for (_, flood) in &floods {
        assert!(flood.has_no_gap(), "{:?}", flood.answered);
    }
    // On a busy machine some may have come too late to submit anything.
    let heard = floods.iter().filter(|(_, flood)| !flood.acknowledged.is_empty()).count();
    assert!(heard > CONNECTIONS / 2, "{heard} connections got a share acknowledged");
    are_booked(&config, place.path(), &floods);
    let mut proof = Proof::default();
    for (job, flood) in &floods {
        flood.acknowledged.iter().for_each(|nonce| proof.acknowledged(job, *nonce));
    }
    let again = config.start_ready();
    assert!(proof.shares_are_kept(&network, &config) > 2_000);
    assert_eq!(again.terminate(), 0);
}

#[test]
fn whoever_connects_to_a_socket_of_the_starter_while_the_pool_restarts_is_served_by_the_next_one() {
    let place = tempfile::tempdir().unwrap();
    let network = unmined(place.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let starter = repository().join("services/e2e/tests/starter");
    let config = Config::new(place.path(), &network).trusting().easy().set("stratum.listen", address.clone());
    let start = || {
        // A descriptor of its own: no other child of this process is to have it for longer than this.
        let given = listener.try_clone().unwrap();
        SockRef::from(&given).set_cloexec(false).unwrap();
        let env =
            [("LISTENER", given.as_raw_fd().to_string()), ("MESHPOOL", program("meshpool").display().to_string())];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let mut pool = config.start_by(&starter, env);
        pool.wait_ready();
        pool
    };
    let mut first = start();
    let (job, flooding) = flood(&address, "early");
    wait_until("shares", MINUTE, || first.metric("meshpool_shares_accepted_total", "") > 200);
    first.process.signal("TERM");
    let flooded = flooding.join().unwrap();
    assert!(flooded.has_no_gap());
    // Whether the first one still runs or not: the kernel keeps the connection for the second.
    let late = std::thread::spawn({
        let address = address.clone();
        move || Client::login(&address, &address_of("late"), "rig").job()
    });
    assert_eq!(first.process.code(MINUTE), 0);
    are_booked(&config, place.path(), &[(job, flooded)]);
    let second = start();
    assert!(late.join().unwrap().height > 0);
    assert_eq!(second.terminate(), 0);
}

#[test]
fn a_hangup_does_not_end_a_pool_that_has_no_certificate() {
    let place = tempfile::tempdir().unwrap();
    let network = unmined(place.path());
    let pool = Config::new(place.path(), &network).trusting().start_ready();
    let mut miner = Client::login(&pool.stratum(), &address_of("miner"), "rig");
    pool.process.signal("HUP");
    pool.process.wait_log("SIGHUP: there is no certificate to read again", MINUTE);
    assert!(miner.is_open());
    assert_eq!(pool.terminate(), 0);
}
