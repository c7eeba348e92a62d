//! Records that the database refuses: nothing behind them waits, and nothing of them is lost.
use std::time::Duration;

use e2e::{Client, Config, Fleet, Job, Network, Pool, Proof, Scratch, address_of, audit, sql, wait_until};
use serde_json::json;
use store::blocks::BlockState;

const MINUTE: Duration = Duration::from_secs(60);
/// A condition is visible within this time.
const SOON: Duration = Duration::from_secs(10);
const REFUSED: &str = "Рига";
const SET_ASIDE: &str = "refuses are set aside";

/// A worker with shares to give.
struct Worker {
    client: Client,
    job: Job,
    next: u64,
}

impl Worker {
    fn login(pool: &Pool, name: &str) -> Worker {
        let mut client = Client::login(&pool.stratum(), &address_of(name), name);
        let job = client.job();
        Worker { client, next: job.nonce_start, job }
    }

    /// Has shares accepted; adds what names them to the list.
    fn mine(&mut self, shares: usize, accepted: &mut Vec<(String, u64)>) {
        for _ in 0..shares {
            let id = self.client.submit(&self.job.id, self.next, &self.job.made_up_hash());
            assert_eq!(self.client.answer(id)["result"]["accepted"], true);
            accepted.push((self.job.header_base.merkle_root().to_string(), self.next));
            self.next += 1;
        }
    }
}

fn refuse(config: &Config, worker: &str) {
    let url = config.database_url();
    if url.starts_with("sqlite:") {
        return sql(
            &url,
            &format!(
                "CREATE TRIGGER refusal BEFORE INSERT ON worker_identities WHEN NEW.worker = '{worker}' \
                 BEGIN SELECT RAISE(ABORT, 'no such letters'); END"
            ),
        );
    }
    sql(
        &url,
        &format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'no such letters' USING ERRCODE = '22P05'; END $$; \
             CREATE TRIGGER refusal BEFORE INSERT ON worker_identities FOR EACH ROW WHEN (NEW.worker = '{worker}') \
             EXECUTE FUNCTION refuse()"
        ),
    );
}

fn mend(config: &Config) {
    let is_lite = config.database_url().starts_with("sqlite:");
    sql(
        &config.database_url(),
        if is_lite { "DROP TRIGGER refusal" } else { "DROP TRIGGER refusal ON worker_identities" },
    );
}

fn set_aside(pool: &Pool) -> u64 {
    pool.metric("meshpool_log_set_aside_records", "")
}

/// How many shares are booked; none of them twice.
fn booked(config: &Config, accepted: &[(String, u64)]) -> usize {
    let shares = config.books().shares();
    assert!(shares.values().all(|times| *times == 1), "a share was booked twice");
    assert!(shares.keys().all(|share| accepted.contains(share)), "a share was booked that nobody sent");
    shares.len()
}

/// Every share of the list is booked or set aside.
fn assert_accounted(config: &Config, accepted: &[(String, u64)], set_aside: u64) {
    let list = config.data_dir().join("accepted.jsonl");
    let line = |(merkle_root, nonce): &(String, u64)| json!({ "merkle_root": merkle_root, "nonce": nonce }).to_string();
    std::fs::write(&list, accepted.iter().map(line).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let (code, out, log) = config.command_with("audit", &["--accepted", list.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}\n{log}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["differences"], &report["set_aside"]), (&json!(0), &json!(set_aside)), "{report}");
}

fn a_refused_worker_beside_an_honest_one(config: &Config) {
    let mut pool = config.start_ready();
    refuse(config, REFUSED);
    let mut accepted = Vec::new();
    let (mut refused, mut honest) = (Worker::login(&pool, REFUSED), Worker::login(&pool, "honest"));
    refused.mine(20, &mut accepted);
    honest.mine(20, &mut accepted);
    wait_until("the honest worker's shares", SOON, || booked(config, &accepted) == 20);
    wait_until("a condition", SOON, || pool.degraded().iter().any(|text| text.contains(SET_ASIDE)));
    assert_eq!((set_aside(&pool), pool.reasons()), (20, Some(vec![])));
    refused.mine(5, &mut accepted);
    honest.mine(5, &mut accepted);
    wait_until("the rest", SOON, || booked(config, &accepted) == 25 && set_aside(&pool) == 25);
    // Killed in the middle, with shares that are not folded.
    refused.mine(5, &mut accepted);
    honest.mine(5, &mut accepted);
    pool.process.kill();
    let mut pool = config.start_ready();
    wait_until("what was not folded", SOON, || booked(config, &accepted) == 30 && set_aside(&pool) == 30);
    assert_accounted(config, &accepted, 30);
    let (code, list, _) = config.command("log");
    assert!(code == 0 && list.contains("30 records") && list.contains("no such letters"), "{list}");

    // Asked for too early: it comes again, and is set aside again as soon as another record goes in.
    let (code, said, log) = config.command_with("log", &["retry"]);
    assert!(code == 0 && said.contains("30 records of 1 refused"), "{said}\n{log}");
    let mut honest = Worker::login(&pool, "honest");
    let mut again = 0;
    wait_until("another refusal", MINUTE, || {
        honest.mine(1, &mut accepted);
        again += 1;
        booked(config, &accepted) >= 31
            && pool.metric("meshpool_log_set_aside_total", "") >= 30
            && set_aside(&pool) == 30
    });
    wait_until("all that is new", SOON, || booked(config, &accepted) == 30 + again);
    assert_accounted(config, &accepted, 30);

    // The cause is mended; the pool dies while it tries again.
    mend(config);
    assert_eq!(config.command_with("log", &["retry"]).0, 0);
    pool.process.kill();
    let pool = config.start_ready();
    wait_until("nothing set aside", MINUTE, || set_aside(&pool) == 0 && booked(config, &accepted) == 60 + again);
    wait_until("the end of the condition", SOON, || pool.degraded().is_empty());
    let mut worker = Worker::login(&pool, REFUSED);
    worker.mine(5, &mut accepted);
    wait_until("its new shares", SOON, || booked(config, &accepted) == 65 + again);
    assert!(config.command("log").1.contains("nothing is set aside"));
    assert_accounted(config, &accepted, 0);
    assert_eq!(pool.terminate(), 0);
    audit(config).assert_clean();
}

fn network(place: &tempfile::TempDir) -> Network {
    Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "1000000"])
}

#[test]
fn a_refused_worker_holds_nobody_up_and_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    let network = network(&place);
    a_refused_worker_beside_an_honest_one(&Config::new(place.path(), &network).trusting().easy());
}

#[test]
fn a_refused_worker_holds_nobody_up_and_loses_nothing_on_postgres() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = network(&place);
    let config = Config::new(place.path(), &network).trusting().easy().database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    a_refused_worker_beside_an_honest_one(&config);
}

#[test]
fn blocks_of_a_refused_worker_are_credited_without_a_finder() {
    let place = tempfile::tempdir().unwrap();
    let network = Network::brisk(&place.path().join("network"), &[]);
    let config = Config::new(place.path(), &network);
    assert_eq!(config.command("migrate").0, 0);
    refuse(&config, &network.miners[0].worker);
    let pool = config.start_ready();
    wait_until("a credited block that nobody found", 2 * MINUTE, || {
        config.books().blocks().iter().any(|block| block.line.is_none() && block.state == BlockState::Credited)
    });
    let proof = Proof::default();
    proof.blocks_are_credited_once(&network, &config, 3);
    assert!(set_aside(&pool) > 0);
    mend(&config);
    assert_eq!(config.command("log").0, 0);
    assert_eq!(config.command_with("log", &["retry"]).0, 0);
    wait_until("nothing set aside", MINUTE, || set_aside(&pool) == 0);
    proof.shares_are_booked(&network, &config);
    proof.blocks_are_credited_once(&network, &config, 3);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
    audit(&config).assert_clean();
}

#[test]
fn a_database_that_cannot_hold_every_name_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::of_encoding("LATIN1");
    let network = network(&place);
    let config = Config::new(place.path(), &network).database(&postgres.url());
    for command in ["migrate", "up"] {
        let (code, _, log) = config.command(command);
        assert_eq!(code, 69, "{command}: {log}");
        assert!(log.contains("encoding LATIN1") && log.contains("UTF8"), "{command}: {log}");
    }
}
