//! A share log that is older than the books, and books that are older than the share log.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Config, Network, Proof, Scratch, audit, logged_shares, sql, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const SHOWN: Duration = Duration::from_secs(10);
const TWO_MINUTES: Duration = Duration::from_secs(120);

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

fn put_back(copied: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy(copied, to);
}

/// Waits until the miners were told of so many more shares.
fn wait_shares(network: &Network, more: usize) {
    let accepted = || -> usize { network.miners.iter().map(|miner| miner.accepted().len()).sum() };
    let before = accepted();
    wait_until("shares", MINUTE, || accepted() >= before + more);
}

fn name(config: &Config) -> String {
    std::fs::read_to_string(config.log_dir().join("host")).unwrap()
}

/// A pool whose log is put back to an earlier state than its books have seen.
fn with_an_older_log(config: &Config, network: &Network, place: &Path, clean: bool) {
    let proof = Proof::default();
    let copied = place.join("copy");
    let first = config.start_ready();
    wait_shares(network, 20);
    assert_eq!(first.terminate(), 0);
    copy(&config.log_dir(), &copied);
    let old = name(config);

    let mut second = config.start_ready();
    wait_shares(network, 60);
    match clean {
        true => assert_eq!(second.terminate(), 0),
        false => {
            // Nothing more is acknowledged, and all that was is booked.
            second.drill(&serde_json::json!({ "stall_disk": true }));
            proof.shares_are_booked(network, config);
            second.process.kill();
        }
    }
    put_back(&copied, &config.log_dir());

    let mut third = config.start();
    wait_shares(network, 20);
    assert_ne!(name(config), old, "the old positions are taken");
    wait_until("a word on it", SHOWN, || third.degraded().iter().any(|text| text.contains("older than the books")));
    proof.shares_are_booked(network, config);
    let hosts = config.command("hosts").1;
    if !clean {
        // What it had beyond its last word nobody knows.
        assert!(hosts.contains("open"), "{hosts}");
        sql(&config.database_url(), "UPDATE hosts SET caught_up_at = 1, folded_at = 1 WHERE id = 1");
        let (code, _, log) = config.command_with("hosts", &["retire", &old]);
        assert_eq!(code, 0, "{log}");
    }
    third.wait_ready();
    proof.blocks_are_credited_once(network, config, 3);
    audit(config).assert_clean();
    assert_eq!(third.terminate(), 0);
    // And it goes on under its new name.
    let new = name(config);
    let fourth = config.start_ready();
    wait_shares(network, 10);
    proof.shares_are_booked(network, config);
    assert_eq!((name(config), fourth.terminate()), (new, 0));
    audit(config).assert_clean();
}

#[test]
fn a_log_behind_the_books_goes_on_under_another_name_and_every_share_is_booked() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::brisk(&place.path().join("network"), &[]);
    let config = Config::new(place.path(), &network).set("payout.enabled", false);
    with_an_older_log(&config, &network, place.path(), true);
}

#[test]
fn a_log_behind_the_books_of_a_killed_pool_on_postgres_is_given_up_by_an_operator() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::brisk(&place.path().join("network"), &[]);
    let config = Config::new(place.path(), &network).set("payout.enabled", false).database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    with_an_older_log(&config, &network, place.path(), false);
}

/// A pool whose books are put back to an earlier state, by which the log's first files were removed since.
fn with_older_books(config: &Config, network: &Network, save: impl Fn(), restore: impl Fn()) {
    let proof = Proof::default();
    let first = config.start_ready();
    wait_shares(network, 20);
    assert_eq!(first.terminate(), 0);
    save();
    for _ in 0..3 {
        let pool = config.start_ready();
        wait_shares(network, 20);
        proof.shares_are_booked(network, config);
        assert_eq!(pool.terminate(), 0);
    }
    restore();
    let files: Vec<PathBuf> = log_files(config);
    assert!(files.len() >= 4, "{files:?}");
    files.iter().take(2).for_each(|file| std::fs::remove_file(file).unwrap());

    let name = name(config);
    let mut pool = config.start();
    pool.wait_reason("share log lacks records", MINUTE);
    pool.process.wait_log("meshpool hosts accept-gap", MINUTE);
    let accept = |args: &[&str]| config.command_with("hosts", args);
    let (code, out, log) = accept(&["accept-gap", &name]);
    assert_eq!(code, 64, "it asks, and nobody answers: {out}");
    assert!(out.contains("Positions") && log.contains("--yes"), "{out}\n{log}");
    assert!(pool.reasons().unwrap().iter().any(|why| why.contains("share log lacks records")));
    let (code, out, log) = accept(&["accept-gap", &name, "--yes"]);
    assert_eq!(code, 0, "{out}\n{log}");
    pool.wait_ready();
    wait_shares(network, 20);
    wait_until("all that the log has in the books", TWO_MINUTES, || {
        let booked = config.books().shares();
        logged_shares(&config.log_dir()).iter().all(|one| booked.contains_key(&(one.merkle_root.clone(), one.nonce)))
    });
    let report = audit(config);
    report.assert_clean();
    assert!(report.report["gaps"]["records"].as_u64() > Some(0), "{}", report.report);
    let before = config.books().blocks().iter().filter(|block| block.credits > 0).count();
    wait_until("credits", TWO_MINUTES, || {
        config.books().blocks().iter().filter(|block| block.credits > 0).count() > before + 2
    });
    assert!(pool.process.ended().is_none());
    assert_eq!(pool.terminate(), 0);
    audit(config).assert_clean();
    let (code, _, log) = accept(&["accept-gap", &name, "--yes"]);
    assert_eq!(code, 64, "there is none any more: {log}");
}

fn log_files(config: &Config) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(config.log_dir()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    files.sort();
    files
}

#[test]
fn books_behind_the_logs_oldest_file_name_the_gap_and_go_on_when_it_is_given_up() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::brisk(&place.path().join("network"), &[]);
    let config = Config::new(place.path(), &network).set("payout.enabled", false);
    let (file, saved) = (config.data_dir().join("meshpool.sqlite"), place.path().join("saved.sqlite"));
    let save = || sql(&config.database_url(), &format!("VACUUM INTO '{}'", saved.display()));
    let restore = || {
        for end in ["-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{}{end}", file.display())));
        }
        std::fs::copy(&saved, &file).unwrap();
    };
    with_older_books(&config, &network, save, restore);
}

#[test]
fn books_on_postgres_behind_the_logs_oldest_file_go_on_when_the_gap_is_given_up() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::brisk(&place.path().join("network"), &[]);
    let config = Config::new(place.path(), &network).set("payout.enabled", false).database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    let url = postgres.url();
    let (server, name) = url.rsplit_once('/').unwrap();
    let (admin, saved) = (format!("{server}/postgres"), format!("{name}_saved"));
    let save = || {
        postgres.shut();
        sql(&admin, &format!("CREATE DATABASE {saved} TEMPLATE {name}"));
        postgres.open();
    };
    let restore = || {
        sql(&admin, &format!("DROP DATABASE {name} WITH (FORCE)"));
        sql(&admin, &format!("CREATE DATABASE {name} TEMPLATE {saved}"));
        sql(&admin, &format!("DROP DATABASE {saved} WITH (FORCE)"));
    };
    with_older_books(&config, &network, save, restore);
}
