//! A disk that is full, and that has room again.
use std::time::Duration;

use e2e::{Client, Config, Fleet, Network, Proof, Scratch, address_of, audit, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Bytes of the log's files.
fn log_files(config: &Config) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(config.log_dir()).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"));
    let mut files: Vec<_> =
        files.map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len())).collect();
    files.sort();
    files
}

#[test]
fn a_full_disk_is_answered_busy_without_an_end_and_mining_goes_on_when_there_is_room() {
    let place = tempfile::tempdir().unwrap();
    // The books are elsewhere: the limit on the size of files is the log's alone.
    let postgres = Scratch::postgres();
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &[]);
    let config = Config::new(place.path(), &network).trusting().easy().database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    let mut pool = config.start_ready();
    let mut proof = Proof::default();
    let mut clients =
        [Client::login(&pool.stratum(), &address_of("a"), "a"), Client::login(&pool.stratum(), &address_of("b"), "b")];
    let job = clients[0].job();
    let hash = job.made_up_hash();
    let id = clients[0].submit(&job.id, job.nonce_start, &hash);
    assert_eq!(clients[0].answer(id)["result"]["accepted"], true);
    proof.acknowledged(&job, job.nonce_start);
    let connections = pool.metric("meshpool_stratum_connections_total", "");

    // Room for half a share, then for nothing at all.
    let length = log_files(&config).last().unwrap().1;
    for room in [length + 30, 0] {
        pool.process.limit_files(Some(room));
        let before = log_files(&config);
        let refused = pool.metric("meshpool_log_refused_total", "");
        for client in &mut clients {
            let job = client.job();
            for nonce in 1..=10 {
                let id = client.submit(&job.id, job.nonce_start + nonce, &hash);
                assert_eq!(client.answer(id)["error"], "server busy, retry");
            }
        }
        assert!(pool.metric("meshpool_log_refused_total", "") >= refused + 20);
        assert_eq!(log_files(&config), before, "a refused share costs no file and no byte");
        pool.wait_reason("share log cannot be written", MINUTE);
    }
    assert_eq!(pool.metric("meshpool_actor_generation", "share_ledger"), 1, "nobody had to start afresh");
    assert_eq!(pool.metric("meshpool_stratum_connections_total", ""), connections, "a connection was dropped");

    pool.process.limit_files(None);
    // Without a share that would prove it.
    wait_until("a pool that is ready again", TEN_SECONDS, || pool.reasons().is_some_and(|reasons| reasons.is_empty()));
    for client in &mut clients {
        let job = client.job();
        for nonce in 1..=10 {
            let id = client.submit(&job.id, job.nonce_start + nonce, &hash);
            let answer = client.answer(id);
            assert_eq!(answer["result"]["accepted"], true, "{answer}");
            proof.acknowledged(&job, job.nonce_start + nonce);
        }
        assert!(client.is_open());
    }
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}
