//! Several hosts on one database: who is waited for, since when, and who is not.
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Config, Network, Pool, Proof, Scratch, audit, free_port, request, sql, wait_for, wait_until};
use serde_json::Value;
use store::blocks::{Block, BlockState};

const MINUTE: Duration = Duration::from_secs(60);
const TWO_MINUTES: Duration = Duration::from_secs(120);
/// Within this time a condition must be shown, and gone.
const SHOWN: Duration = Duration::from_secs(10);

/// A network with a block every second, a database, and the first of several pools on them.
fn world(place: &Path, postgres: &Scratch) -> (Network, Config) {
    let network = Network::brisk(&place.join("network"), &[]);
    let config = pool(place, "one", &network, postgres);
    assert_eq!(config.command("migrate").0, 0);
    (network, config)
}

/// A pool with a data directory of its own. Money stays where it is.
fn pool(place: &Path, name: &str, network: &Network, postgres: &Scratch) -> Config {
    Config::new(&place.join(name), network).set("payout.enabled", false).database(&postgres.url())
}

/// The same beside another one: miners do not know it.
fn aside(config: Config) -> Config {
    config.set("stratum.listen", format!("127.0.0.1:{}", free_port()))
}

fn hosts(config: &Config) -> Vec<String> {
    let (code, out, log) = config.command("hosts");
    assert_eq!(code, 0, "{log}");
    out.lines().map(str::to_owned).collect()
}

fn name(config: &Config) -> String {
    std::fs::read_to_string(config.log_dir().join("host")).unwrap()
}

/// Waits for credits of blocks that are found from now on.
fn wait_new_credits(config: &Config, count: usize) {
    let books = config.books();
    let before: Vec<_> = books.blocks().into_iter().map(|block| block.id).collect();
    let is_new = |block: &Block| !before.contains(&block.id) && block.state == BlockState::Credited;
    wait_until("credits of new blocks", TWO_MINUTES, || {
        books.blocks().iter().filter(|one| is_new(one)).count() >= count
    });
}

/// What `/readyz` tells an operator of a condition.
fn condition(pool: &Pool, kind: &str) -> Option<Value> {
    let url = format!("http://127.0.0.1:{}/readyz", pool.config.api_port());
    let body = request("GET", &url, &[("x-api-key", "e2e-key")], None).ok()?.json();
    body["conditions"].as_array()?.iter().find(|one| one["condition"] == kind).cloned()
}

#[test]
fn a_start_that_fails_holds_no_block_and_changes_no_host() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let (network, config) = world(place.path(), &postgres);
    let first = config.start_ready();
    // The ports of miners, of TLS and of the page, each one taken.
    let other = pool(place.path(), "two", &network, &postgres);
    let api = format!("127.0.0.1:{}", config.api_port());
    let taken = [
        ("stratum.listen", other.clone()),
        ("api.listen", aside(other.clone()).set("api.listen", api.clone())),
        ("stratum.tls", aside(other.clone()).set("stratum.tls_cert", "/nowhere").set("stratum.tls_key", "/nowhere")),
    ];
    for (key, config) in &taken {
        let (code, _, log) = config.command("up");
        assert_eq!(code, 64, "{log}");
        assert!(log.contains(key), "{log}");
    }
    assert_eq!(hosts(&config).len(), 1, "{:?}", hosts(&config));
    wait_new_credits(&config, 2);
    // Nor does it bring back one that was given up, or closed.
    let two = aside(other.clone());
    assert_eq!(two.start_ready().terminate(), 0);
    let closed = hosts(&config);
    assert!(closed.len() == 2 && closed[1].contains("closed"), "{closed:?}");
    let (code, _, _) = taken[0].1.command("up");
    assert_eq!(code, 64);
    assert!(hosts(&config)[1].contains("closed"), "{:?}", hosts(&config));
    sql(&postgres.url(), "UPDATE hosts SET caught_up_at = 1, folded_at = 1 WHERE id = 2");
    assert_eq!(config.command_with("hosts", &["retire", &name(&two)]).0, 0);
    assert_eq!(taken[0].1.command("up").0, 64);
    assert!(hosts(&config)[1].contains("retired"), "{:?}", hosts(&config));
    wait_new_credits(&config, 2);
    assert_eq!(first.terminate(), 0);
    audit(&config).assert_clean();
}

#[test]
fn blocks_do_not_wait_for_a_host_that_was_stopped_cleanly() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let (network, config) = world(place.path(), &postgres);
    let first = config.start_ready();
    let proof = Proof::default();
    wait_until("shares", MINUTE, || network.miners.iter().all(|miner| miner.accepted().len() > 10));
    assert_eq!(first.terminate(), 0);
    let other = pool(place.path(), "two", &network, &postgres);
    let second = other.start_ready();
    let began_at = Instant::now();
    wait_new_credits(&other, 3);
    println!("credits after {:?}", began_at.elapsed());
    assert_eq!(second.reasons(), Some(Vec::new()));
    assert!(hosts(&other)[0].contains("closed"), "{:?}", hosts(&other));
    // It is back: what is found from then on waits for it, and it folds.
    assert_eq!(second.terminate(), 0);
    let first = config.start_ready();
    assert!(hosts(&other)[0].contains("open") && hosts(&other)[1].contains("closed"), "{:?}", hosts(&other));
    wait_new_credits(&config, 3);
    proof.shares_are_booked(&network, &config);
    assert_eq!(first.terminate(), 0);
    audit(&config).assert_clean();
    audit(&other).assert_clean();
}

#[test]
fn a_container_with_a_fresh_volume_at_each_start_is_said_to_hold_blocks_until_its_hosts_are_given_up() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let (network, config) = world(place.path(), &postgres);
    let mut first = config.start_ready();
    wait_until("shares", MINUTE, || network.miners.iter().all(|miner| miner.accepted().len() > 10));
    first.process.kill();
    let lost = name(&config);
    std::fs::remove_dir_all(config.data_dir()).unwrap();
    let mut second = config.start();
    let books = config.books();
    let held = |block: &Block| block.hold_reason.as_ref().is_some_and(|why| why.contains("have not folded"));
    wait_until("a held block", TWO_MINUTES, || books.blocks().iter().any(held));
    let shown = wait_for("the condition", SHOWN, || condition(&second, "hosts_awaited"));
    let (text, detail) = (shown["text"].as_str().unwrap(), shown["detail"].as_str().unwrap());
    assert!(!text.contains(&lost), "{text}");
    assert!(detail.contains(&lost) && detail.contains("meshpool hosts retire"), "{detail}");
    second.wait_reason(text, SHOWN);
    assert!(
        hosts(&config).iter().any(|line| line.starts_with(&lost) && line.contains("open;") && line.contains(" for it"))
    );
    // Time passes: it was not heard of for long.
    sql(
        &postgres.url(),
        "UPDATE hosts SET caught_up_at = caught_up_at - 300000, folded_at = folded_at - 300000 WHERE id = 1",
    );
    let (code, out, log) = config.command_with("hosts", &["retire", &lost]);
    assert_eq!(code, 0, "{out}\n{log}");
    wait_until("the condition's end", SHOWN, || condition(&second, "hosts_awaited").is_none());
    second.wait_ready();
    wait_new_credits(&config, 2);
    assert_eq!(second.terminate(), 0);
    audit(&config).assert_clean();
}

#[test]
fn a_block_waits_for_its_finders_host_however_late_that_folds() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let (network, config) = world(place.path(), &postgres);
    // It has no miners, and the lease.
    let watcher = aside(pool(place.path(), "two", &network, &postgres)).start_ready();
    // Two of three folds of a find fail, while what is before them goes in.
    sql(
        &postgres.url(),
        "CREATE FUNCTION late() RETURNS trigger AS $$ BEGIN \
         IF NEW.identity_id IS NOT NULL AND random() < 0.67 THEN RAISE EXCEPTION 'later'; END IF; RETURN NEW; END $$ \
         LANGUAGE plpgsql; CREATE TRIGGER late BEFORE INSERT ON blocks FOR EACH ROW EXECUTE FUNCTION late()",
    );
    let pool = config.start_ready();
    wait_until("blocks", TWO_MINUTES, || config.books().blocks().len() >= 8);
    sql(&postgres.url(), "DROP TRIGGER late ON blocks");
    let proof = Proof::default();
    proof.shares_are_booked(&network, &config);
    assert_eq!(pool.terminate(), 0);
    // Blocks wait until the other host, which logs nothing, is minutes past them.
    let is_due = |block: &Block| {
        let is_deep = block.height.get() + 3 <= network.tip().height;
        is_deep && block.state != BlockState::Credited && !block.is_orphaned()
    };
    wait_until("no block that is due", 3 * TWO_MINUTES, || !config.books().blocks().iter().any(is_due));
    proof.blocks_are_credited_once(&network, &config, 3);
    let blocks = config.books().blocks();
    let nameless: Vec<_> = blocks.iter().filter(|block| block.finder.is_none()).map(|block| &block.hash).collect();
    assert_eq!(nameless, Vec::<&String>::new(), "of {}", blocks.len());
    sql(
        &postgres.url(),
        "DO $$ BEGIN IF EXISTS (SELECT 1 FROM blocks b LEFT JOIN block_windows w ON w.block_id = b.id \
         AND w.host_id = b.host_id WHERE COALESCE(w.end_seq, 0) < b.share_seq) \
         THEN RAISE EXCEPTION 'a finder''s own share is not in the window'; END IF; END $$",
    );
    assert_eq!(watcher.terminate(), 0);
    audit(&config).assert_clean();
}
