//! What is wrong from outside: settings, the database, the log. Each ends with a text that names the thing and the right
//! exit code, or does not end at all.
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use e2e::{Config, Fleet, Network, Proof, Scratch, audit, sql, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const CONFIG: i32 = 64;
const DATABASE: i32 = 69;
const SUPERVISOR: i32 = 70;

/// A network that is never started: the pool must refuse before it would miss it.
fn planned(place: &tempfile::TempDir) -> Network {
    Network::planned(&place.path().join("network"), Fleet::NONE, &[])
}

/// Each command refuses these settings with 64 and a text that holds all of `named`.
fn refused(config: &Config, named: &[&str]) {
    for command in ["up", "check-config", "migrate", "audit"] {
        let (code, out, log) = config.command(command);
        assert_eq!((code, out.as_str()), (CONFIG, ""), "{command}: {log}");
        for name in named {
            assert!(log.contains(name), "{command} does not name `{name}`: {log}");
        }
    }
    assert!(!config.data_dir().exists(), "refused settings made a data directory");
}

#[test]
fn settings_that_are_unknown_or_mistyped_are_refused_by_key_and_file() {
    let place = tempfile::tempdir().unwrap();
    let network = planned(&place);
    let base = || Config::new(place.path(), &network);
    let file = place.path().join("pool.toml").display().to_string();
    refused(&base().set("stratum.listn", "127.0.0.1:1"), &["stratum.listn", "unknown", "listen", &file]);
    refused(&base().set("stratum.max_connections", "many"), &["stratum.max_connections", "many", &file]);
    refused(&base().set("payout.interval", "soon"), &["payout.interval", "soon", &file]);
    refused(&base().set("payout.min_amount", 0.1), &["payout.min_amount", &file]);
    // Everything that is wrong is said at once.
    refused(&base().set("pool.nme", "x").set("vardiff.initial", 0), &["pool.nme", "vardiff.initial"]);
    refused(&base().env("POOL_API__LISTEN", "nowhere"), &["api.listen", "POOL_API__LISTEN"]);
    refused(&base().env("POOL_API__LISTN", "127.0.0.1:1"), &["api.listn", "unknown", "POOL_API__LISTN"]);
    refused(&base().env("POOL_PAYOUT_ENABLED", "false"), &["payout.enabled", "POOL_PAYOUT__ENABLED"]);
    let (code, _, log) = base().command_with("up", &["--config", "elsewhere.toml"]);
    assert_eq!(code, CONFIG);
    assert!(log.contains("elsewhere.toml"), "{log}");
    let (code, _, log) = base().command_with("up", &["--nonsense"]);
    assert_eq!(code, CONFIG);
    assert!(log.contains("--nonsense"), "{log}");
}

#[test]
fn shallow_confirmations_and_another_proof_of_work_are_refused_outside_the_devnet() {
    let place = tempfile::tempdir().unwrap();
    let network = planned(&place);
    let file = place.path().join("pool.toml").display().to_string();
    for real in ["mainnet", "testnet"] {
        let base = || {
            let config = Config::new(place.path(), &network).set("pool.network", real);
            config.set("blocks.confirmations", 60).set("validation.pow_memory_kib", 2_097_152)
        };
        refused(&base().set("blocks.confirmations", 59), &["blocks.confirmations", "60", &file]);
        refused(&base().set("validation.pow_memory_kib", 1024), &["validation.pow_memory_kib", "2097152", &file]);
        assert_eq!(base().command("check-config").0, 0);
    }
}

#[test]
fn check_config_looks_into_the_files_and_names_that_settings_lead_to() {
    let place = tempfile::tempdir().unwrap();
    let network = planned(&place);
    let base = || Config::new(place.path(), &network);
    let certificate = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let [cert, key] = ["cert", "key"].map(|kind| place.path().join(format!("{name}.{kind}")));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        [cert, key].map(|path| path.display().to_string())
    };
    let ([cert, key], [_, other]) = (certificate("one"), certificate("two"));
    let with = |cert: &str, key: &str| base().set("stratum.tls_cert", cert).set("stratum.tls_key", key);
    let (code, out, log) = with(&cert, &key).command("check-config");
    assert_eq!(code, 0, "{log}");
    // The daemon makes these; the pool waits for it.
    assert!(out.contains("warning: daemon.wallet_password_file: ") && out.contains("settings are good"), "{out}");
    let away = place.path().join("away").display().to_string();
    let issuers = format!("postgres://pool:geheim@db/pool?sslmode=verify-full&sslrootcert={away}");
    for (config, named) in [
        (with(&cert, &other), vec!["stratum.tls_cert, stratum.tls_key: certificate or key cannot be used"]),
        (with(&away, &key), vec!["stratum.tls_cert, stratum.tls_key: cannot read", &away]),
        (base().set("api.ui_dir", away.as_str()), vec!["api.ui_dir", &away]),
        (base().set("api.listen", "no-such-host.invalid:80"), vec!["api.listen", "no-such-host.invalid:80"]),
        (base().database(&issuers), vec!["database.url", "sslrootcert", &away]),
    ] {
        let (code, out, log) = config.command("check-config");
        assert_eq!((code, out.as_str()), (CONFIG, ""), "{log}");
        assert!(named.iter().all(|name| log.contains(name)) && !log.contains("geheim"), "{named:?}: {log}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let place = tempfile::tempdir().unwrap();
    let network = planned(&place);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["stratum.listen", "api.listen"] {
        let (code, _, log) = Config::new(place.path(), &network).set(key, address.as_str()).command("up");
        assert_eq!(code, CONFIG, "{log}");
        assert!(log.contains(key) && log.contains(&address), "{log}");
    }
}

#[test]
fn a_database_that_a_newer_program_made_is_refused_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = planned(&place);
    for config in [Config::new(place.path(), &network), Config::new(place.path(), &network).database(&postgres.url())] {
        assert_eq!(config.command("migrate").0, 0);
        sql(&config.database_url(), "INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999999999')");
        for command in ["up", "migrate", "audit"] {
            let (code, _, log) = config.command(command);
            assert_eq!(code, DATABASE, "{command}: {log}");
            assert!(log.contains("99999999999999") && log.contains("newer"), "{command}: {log}");
        }
    }
}

#[test]
fn a_postgres_that_is_away_or_empty_is_refused_without_its_password() {
    let place = tempfile::tempdir().unwrap();
    let network = planned(&place);
    let away = Config::new(place.path(), &network).database("postgres://pool:geheim@127.0.0.1:1/pool");
    for command in ["up", "migrate", "audit"] {
        let (code, out, log) = away.command(command);
        assert_eq!(code, DATABASE, "{command}: {log}");
        assert!(log.contains("127.0.0.1:1/pool") && !(log + &out).contains("geheim"), "{command}");
    }
    let postgres = Scratch::postgres();
    let empty = Config::new(place.path(), &network).database(&postgres.url());
    for command in ["up", "audit"] {
        let (code, _, log) = empty.command(command);
        assert_eq!(code, DATABASE, "{command}: {log}");
        assert!(log.contains("not migrated") && log.contains("meshpool migrate"), "{command}: {log}");
    }
    assert_eq!(empty.command("migrate").0, 0);
    assert_eq!(empty.command("migrate").0, 0, "twice is as good");
    assert_eq!(empty.command("audit").0, 0);
}

#[test]
fn a_torn_tail_is_cut_and_said_and_no_acknowledged_share_is_in_it() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::PRESET, &[]);
    let config = Config::new(place.path(), &network).easy();
    let proof = Proof::default();
    let mut pool = config.start_ready();
    wait_until("shares", MINUTE, || pool.metric("meshpool_shares_accepted_total", "") > 30);
    pool.process.kill();
    let newest = || {
        let files = std::fs::read_dir(config.log_dir()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap()
    };
    // What a machine that loses power may leave: half a frame, then whatever was on the disk before.
    for garbage in [vec![0x2a; 7], vec![0; 4096], (0..=255).cycle().take(3000).collect()] {
        let mut file = std::fs::OpenOptions::new().append(true).open(newest()).unwrap();
        file.write_all(&garbage).unwrap();
        drop(file);
        let before = proof.shares_are_kept(&network, &config);
        let mut pool = config.start_ready();
        let log = pool.process.log();
        assert!(log.contains("torn tail") && log.contains(&format!("bytes={}", garbage.len())), "{log}");
        wait_until("new shares", MINUTE, || proof.shares_are_kept(&network, &config) > before);
        proof.shares_are_booked(&network, &config);
        pool.process.kill();
        audit(&config).assert_clean();
    }
}

#[test]
fn damage_before_the_tail_is_not_repaired_but_ends_the_process() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::PRESET, &[]);
    let config = Config::new(place.path(), &network).easy();
    let mut pool = config.start_ready();
    wait_until("several commits", MINUTE, || pool.metric("meshpool_log_syncs_total", "") > 5);
    pool.process.kill();
    let mut files: Vec<_> = std::fs::read_dir(config.log_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    let newest = files.iter().max().unwrap();
    let mut bytes = std::fs::read(newest).unwrap();
    bytes[60] ^= 1;
    std::fs::write(newest, &bytes).unwrap();
    let mut pool = config.start();
    assert_eq!(pool.process.code(MINUTE), SUPERVISOR);
    let log = pool.process.log();
    assert!(log.contains("is damaged at byte") && log.contains(&newest.display().to_string()), "{log}");
    assert_eq!(std::fs::read(newest).unwrap(), bytes, "the evidence was changed");
}

#[test]
fn a_daemon_that_is_away_is_waited_for_and_named() {
    let place = tempfile::tempdir().unwrap();
    let mut network = planned(&place);
    let config = Config::new(place.path(), &network);
    // Neither its cookie nor its wallet's password is there yet.
    let mut pool = config.start();
    for _ in 0..2 {
        pool.wait_reason("daemon does not answer", MINUTE);
        network.run();
        pool.wait_ready();
        network.stop();
    }
    pool.wait_reason("daemon does not answer", MINUTE);
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn a_wallet_that_nobody_can_open_is_waited_for_and_named() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).set("daemon.wallet_password_file", "");
    let mut pool = config.start();
    pool.wait_reason("daemon 1's wallet is not open", MINUTE);
    assert!(pool.process.log().contains("no wallet password is set"));
    // An operator opens it by hand.
    network.load_wallet();
    pool.wait_ready();
    assert_eq!(pool.terminate(), 0);
}
