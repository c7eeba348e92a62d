//! Whoever mines under either form of an address is one miner with one balance.
use std::time::Duration;

use chain::{Address, Network as Chain};
use e2e::{Client, Config, Fleet, Network, Pool, Proof, Scratch, Solver, address_of, audit, wait_until};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn both_forms_of_an_address_are_one_miner_with_one_balance_and_one_page() {
    for on_postgres in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let postgres = on_postgres.then(Scratch::postgres);
        let network = Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "40"]);
        let mut config = Config::new(place.path(), &network).set("payout.enabled", false).easy();
        if let Some(postgres) = &postgres {
            config = config.database(&postgres.url());
            assert_eq!(config.command("migrate").0, 0);
        }
        let pool = config.start_ready();
        let text = address_of("both");
        let legacy = Address::parse(&text, &Chain::Testnet).unwrap().legacy_text();
        let (mut proof, mut solver) = (Proof::default(), Solver::default());
        let mut clients = [&text, &legacy].map(|payee| Client::login(&pool.stratum(), payee, "rig"));
        let mut jobs = clients.each_mut().map(Client::job);
        let mut from = jobs.each_ref().map(|job| job.nonce_start);
        let confirmed = |pool: &Pool, address: &str| {
            pool.get(&format!("/api/miner/{address}/balance"))["balance"]["pending_confirmed"].as_u64().unwrap()
        };
        // They take turns until a block of theirs is credited.
        wait_until("a credit", 3 * MINUTE, || {
            for (n, client) in clients.iter_mut().enumerate() {
                let (nonce, hash) = solver.share(&jobs[n], from[n]);
                let id = client.submit(&jobs[n].id, nonce, &hash);
                let answer = client.answer(id);
                if answer["status"] == "ok" {
                    proof.acknowledged(&jobs[n], nonce);
                    from[n] = nonce + 1;
                }
                if network.tip().height >= jobs[n].height {
                    jobs[n] = client.job_above(network.tip().height);
                    from[n] = jobs[n].nonce_start;
                }
            }
            confirmed(&pool, &text) > 0
        });
        proof.shares_are_booked(&network, &config);
        let page = |address: &str| pool.get(&format!("/api/miner/{address}"));
        let (mut one, mut other) = (page(&text), page(&legacy));
        // A block may be credited between the two.
        wait_until("two pages of one moment", MINUTE, || {
            (one, other) = (page(&text), page(&legacy));
            ["address", "balance", "total_accepted", "blocks_found"].iter().all(|key| one[key] == other[key])
        });
        assert_eq!(other["address"], json!(text));
        assert_eq!(other["workers"].as_array().unwrap().len(), 1, "{other}");
        wait_until("one balance", MINUTE, || confirmed(&pool, &text) == confirmed(&pool, &legacy));
        assert_eq!(config.books().balance(&legacy), (0, 0, 0));
        audit(&config).assert_clean();
        assert_eq!(pool.terminate(), 0);
        proof.shares_are_kept(&network, &config);
        audit(&config).assert_clean();
    }
}
