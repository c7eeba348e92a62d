//! A log that nobody reads, that machines read, and what strangers can put into it.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use e2e::{Client, Collector, Config, Fleet, Network, Pool, Proof, address_of, audit, wait_for, wait_until};
use serde_json::{Value, json};
use store::blocks::BlockState;

const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);
/// The longest way from SIGTERM to the end.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How long the log is not read; `ops/campaign` takes longer.
fn stall() -> Duration {
    let seconds = std::env::var("MESHPOOL_E2E_STALL_SECS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

fn accepted(pool: &Pool) -> u64 {
    pool.metric("meshpool_shares_accepted_total", "")
}

/// Blocks whose reward is in the books.
fn credited(config: &Config) -> usize {
    config.books().blocks().iter().filter(|block| block.state == BlockState::Credited).count()
}

/// Everything that must go on does, and is told, for that long.
fn goes_on(pool: &Pool, config: &Config, during: Duration) {
    let began_at = Instant::now();
    let (mut shares, blocks) = (accepted(pool), credited(config));
    while began_at.elapsed() < during {
        let asked_at = Instant::now();
        assert_eq!(pool.try_get("/livez").unwrap().status, 200);
        assert!(asked_at.elapsed() < SOON, "/livez took {:?}", asked_at.elapsed());
        wait_until("more shares", SOON, || accepted(pool) > shares);
        shares = accepted(pool);
    }
    wait_until("a credit of a block found meanwhile", MINUTE, || credited(config) > blocks + 1);
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_and_says_what_it_lost_when_it_is_read_again() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 25 }, &[]);
    // With long lines at a stranger's will.
    let config = Config::new(place.path(), &network).easy().env("RUST_LOG", "info,actix_http=debug");
    let proof = Proof::default();
    let (mut pool, pipe) = config.start_unread();
    pool.wait_ready();
    wait_until("the condition", SOON, || pool.degraded().iter().any(|text| text == "log is not read"));
    let dropped = |pool: &Pool| pool.metric("meshpool_log_lines_dropped_total", "");
    goes_on(&pool, &config, stall());
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", "x".repeat(9000));
    wait_until("lines that found no place", 2 * MINUTE, || {
        (0..50).for_each(|_| assert!(talk(&pool, long.as_bytes()).starts_with("HTTP/1.1 400")));
        dropped(&pool) > 0
    });
    goes_on(&pool, &config, SOON / 2);
    let bytes = |name: &str| pool.metric(&format!("meshpool_queue_{name}"), "queue=\"log\"");
    assert!(bytes("depth") <= bytes("capacity"), "{} of {} bytes", bytes("depth"), bytes("capacity"));

    pipe.read_on();
    pool.process.wait_log(" log lines dropped", SOON);
    wait_until("the end of the condition", SOON, || pool.degraded().is_empty());
    proof.shares_are_booked(&network, &config);
    proof.blocks_are_credited_once(&network, &config, 3);
    audit(&config).assert_clean();
    let total = dropped(&pool);
    pool.process.signal("TERM");
    assert_eq!(pool.process.code(STOP_MAX), 0);
    // The reader's thread may be a moment behind.
    let told = || {
        let log = pool.process.log();
        let counts = log.lines().filter(|line| line.contains(" log lines dropped"));
        counts.map(|line| line.rsplit_once("dropped=").unwrap().1.parse::<u64>().unwrap()).sum::<u64>()
    };
    wait_until("the sum of all gaps", SOON, || told() >= total);
    let log = pool.process.log();
    let is_whole = |line: &&str| ["20", "stratum ", "page ", "data "].iter().any(|start| line.starts_with(start));
    assert_eq!(log.lines().find(|line| !is_whole(line)).map(|line| line.chars().take(100).collect::<String>()), None);
    proof.shares_are_kept(&network, &config);
}

#[test]
fn a_thread_that_hangs_ends_the_process_with_70_while_nobody_reads_the_log() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 25 }, &[]);
    let config = Config::new(place.path(), &network).easy();
    let proof = Proof::default();
    let (mut pool, _unread) = config.start_unread();
    pool.wait_ready();
    pool.drill(&json!({ "hang": "live" }));
    let hangs_since = Instant::now();
    goes_on(&pool, &config, stall());
    // The watchdog's patience is two minutes; the rest is a machine under load.
    assert_eq!(pool.process.code(4 * MINUTE), 70);
    assert!(hangs_since.elapsed() < 3 * MINUTE, "it took {:?}", hangs_since.elapsed());
    proof.shares_are_kept(&network, &config);
    let pool = config.start_ready();
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn a_pool_whose_log_nobody_reads_starts_and_ends_as_ever() {
    let place = tempfile::tempdir().unwrap();
    let config = Config::devnet(place.path()).env("RUST_LOG", "debug");
    let (mut pool, _unread) = config.start_unread();
    pool.wait_ready();
    wait_until("a credit", MINUTE, || credited(&config) > 0);
    pool.process.signal("TERM");
    assert_eq!(pool.process.code(STOP_MAX), 0);
    // Nor does a refusal wait for its reader.
    let (mut refused, _unread) = config.set("pool.scheme", "luck").start_unread();
    assert_eq!(refused.process.code(SOON), 64);
}

/// Every line of it, as JSON.
fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = text.lines().map(parse).collect();
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "no {field}: {line}");
        }
    }
    lines
}

fn says(lines: &[Value], text: &str) -> bool {
    lines.iter().any(|line| line["message"].as_str().unwrap().contains(text))
}

#[test]
fn a_log_for_machines_has_nothing_but_json_whatever_happens() {
    let place = tempfile::tempdir().unwrap();
    let config = Config::devnet(place.path()).set("telemetry.log_format", "json");
    let mut pool = config.start_ready();
    pool.drill(&json!({ "panic": "live" }));
    pool.process.wait_log("panicked", MINUTE);
    // A second pool finds the directory taken.
    let mut second = config.start();
    assert_eq!(second.process.code(MINUTE), 64);
    for generation in 1..=6 {
        wait_until("the next generation", MINUTE, || {
            pool.metric("meshpool_actor_generation", "share_ledger") == generation
                && pool.metric("meshpool_actor_up", "share_ledger") == 1
        });
        pool.drill(&json!({ "panic": "share_ledger" }));
    }
    assert_eq!(pool.process.code(MINUTE), 70);
    let log = lines(&pool.process.log());
    assert!(says(&log, "panicked: ") && says(&log, "share_ledger"), "{log:?}");
    let out = lines(&pool.process.out());
    assert!(out.iter().any(|line| line["page"] == format!("http://127.0.0.1:{}/", config.api_port())), "{out:?}");

    let mut refused = config.clone().set("pool.scheme", "luck").set("stratum.listen", "nowhere").start();
    assert_eq!(refused.process.code(MINUTE), 64);
    let log = lines(&refused.process.log());
    assert!(says(&log, "pool.scheme") && says(&log, "stratum.listen"), "{log:?}");
}

#[test]
fn a_collector_that_never_answers_holds_nothing_up() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet { miners: 2, hashrate: 25 }, &[]);
    let collector = Collector::stalled();
    let config = Config::new(place.path(), &network).easy().set("telemetry.otlp_endpoint", collector.url());
    let mut pool = config.start_ready();
    goes_on(&pool, &config, Duration::from_secs(5));
    let spans = |name: &str| pool.metric(&format!("meshpool_queue_{name}"), "queue=\"trace_spans\"");
    wait_until("lost spans", MINUTE, || spans("refused_total") > 0);
    assert!(spans("depth") <= spans("capacity"));
    let asked_at = Instant::now();
    pool.process.signal("TERM");
    assert_eq!(pool.process.code(STOP_MAX), 0);
    println!("ended after {:?}", asked_at.elapsed());
    audit(&config).assert_clean();
}

#[test]
fn signals_that_mean_nothing_to_a_pool_do_not_end_it() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).trusting().easy();
    let mut pool = config.start_ready();
    let mut proof = Proof::default();
    let mut client = Client::login(&pool.stratum(), &address_of("steady"), "rig");
    let job = client.job();
    for (nonce, signal) in ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "XFSZ", "HUP"].iter().enumerate() {
        pool.process.signal(signal);
        if *signal != "HUP" {
            pool.process.wait_log(&format!("SIG{signal}"), MINUTE);
        }
        let nonce = job.nonce_start + nonce as u64;
        let share = client.submit(&job.id, nonce, &job.made_up_hash());
        assert_eq!(client.answer(share)["result"]["accepted"], true, "after SIG{signal}");
        proof.acknowledged(&job, nonce);
    }
    // These say that the end is near: it drains.
    pool.process.signal("QUIT");
    assert_eq!(pool.process.code(STOP_MAX), 0);
    proof.shares_are_kept(&network, &config);
    let mut pool = config.start_ready();
    pool.process.signal("PWR");
    assert_eq!(pool.process.code(STOP_MAX), 0);
}

/// Says something to the API's port and reads what it answers.
fn talk(pool: &Pool, words: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", pool.config.api_port())).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // It may have been closed in the middle.
    drop(stream.write_all(words));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn whoever_says_nonsense_to_the_api_is_counted_and_not_logged() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).env("RUST_LOG", "warn");
    let pool = config.start_ready();
    let before = pool.process.log();
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    let hello: &[u8] = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00";
    for words in [b"garbage \xff\xfe\r\n\r\n".as_slice(), hello, long.as_bytes(), b"GET / HTTP/9.9\r\n\r\n"] {
        let answer = talk(&pool, words);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    wait_until("the count", SOON, || pool.metric("meshpool_api_bad_requests_total", "") >= 3);
    assert_eq!(pool.process.log(), before);
    assert_eq!(pool.terminate(), 0);
}

/// A proxy that has lost its daemon.
fn proxy_without_daemon(page: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            drop(stream.read(&mut head));
            let head = format!("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: {}\r\n", page.len());
            drop(stream.write_all(format!("{head}content-type: text/html\r\n\r\n{page}").as_bytes()));
        }
    });
    port
}

#[test]
fn a_page_of_a_proxy_is_one_short_line_in_either_format() {
    const PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\n\u{1b}[2J</body>\n</html>\r\n";
    let url = format!("http://127.0.0.1:{}", proxy_without_daemon(PAGE));
    for format in ["text", "json"] {
        let place = tempfile::tempdir().unwrap();
        let network = Network::planned(&place.path().join("network"), Fleet::NONE, &[]);
        std::fs::create_dir_all(network.cookie_path().parent().unwrap()).unwrap();
        std::fs::write(network.cookie_path(), "token").unwrap();
        let config = Config::new(place.path(), &network).set("daemon.url", url.clone());
        let mut pool = config.set("telemetry.log_format", format).start();
        let log = wait_for("what the proxy says", MINUTE, || {
            Some(pool.process.log()).filter(|log| log.contains("502 Bad Gateway"))
        });
        for line in log.lines() {
            assert!(line.len() < 2000 && !line.contains('\u{1b}') && !line.contains('\r'), "{line:?}");
            assert!(line.starts_with("20") || line.starts_with("{\"timestamp\":\"20"), "{line:?}");
        }
        if format == "json" {
            lines(&log);
        }
        pool.process.signal("TERM");
        assert_eq!(pool.process.code(STOP_MAX), 0);
    }
}
