//! Hosts that are a part of a pool: they need a database that others reach too, and say what they miss.
use std::time::Duration;

use e2e::{Config, Network, Scratch, audit, free_port, wait_for, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
const MISSED_BY_STRATUM: &str = "roles are not in this process: treasury (blocks are not credited and nothing is paid)";
const MISSED_BY_TREASURY: &str = "roles are not in this process: stratum (the chain is not followed and miners are not \
    served), validator (shares are not checked)";

#[test]
fn a_part_of_a_pool_refuses_a_database_that_no_other_host_reaches() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::planned(&place.path().join("network"), e2e::Fleet::NONE, &[]);
    for binary in ["meshpool-stratum", "meshpool-treasury"] {
        let config = Config::new(&place.path().join(binary), &network);
        let mut host = config.start_host(binary);
        assert_eq!(host.process.code(MINUTE), 64, "{}", host.process.log());
        for named in ["database.url", binary, "SQLite", "PostgreSQL", "meshpool up"] {
            assert!(host.process.log().contains(named), "{binary} does not name {named}: {}", host.process.log());
        }
        assert!(!config.data_dir().exists(), "a refused host made a data directory");
        // Nor does it migrate: the operator does.
        let mut host = config.database(&postgres.url()).start_host(binary);
        assert_eq!(host.process.code(MINUTE), 69, "{}", host.process.log());
    }
}

#[test]
fn parts_of_a_pool_do_what_they_can_and_say_which_roles_they_miss() {
    let place = tempfile::tempdir().unwrap();
    let postgres = Scratch::postgres();
    let network = Network::brisk(&place.path().join("network"), &[]);
    let config = Config::new(&place.path().join("stratum"), &network).database(&postgres.url());
    assert_eq!(config.command("migrate").0, 0);
    let mut stratum = config.start_host("meshpool-stratum");
    wait_until("accepted shares", MINUTE, || network.miners.iter().all(|miner| miner.accepted().len() > 10));
    wait_until("one reason", MINUTE, || stratum.reasons().is_some_and(|reasons| reasons == [MISSED_BY_STRATUM]));
    let other = Config::new(&place.path().join("treasury"), &network)
        .database(&postgres.url())
        .set("stratum.listen", format!("127.0.0.1:{}", free_port()));
    let mut treasury = other.start_host("meshpool-treasury");
    treasury.wait_reason(MISSED_BY_TREASURY, MINUTE);
    assert_eq!(treasury.metric("meshpool_condition", "roles_absent"), 1);
    wait_for("its actors", MINUTE, || {
        let all = treasury.actors();
        ["payout", "block_lifecycle", "retention", "live"]
            .iter()
            .all(|name| all.iter().any(|one| one == name))
            .then_some(())
    });
    // It could neither credit nor settle, so it does not keep the lease from a host that can.
    let (code, out, log) = config.command("payouts");
    assert!(code == 0 && out.contains("no pool holds the money lease"), "{out}{log}");
    // It has no share log, so no block waits for it.
    let (code, out, log) = config.command("hosts");
    assert!(code == 0 && out.lines().count() == 1, "{out}{log}");
    assert!(treasury.process.ended().is_none() && stratum.process.ended().is_none());
    assert_eq!(treasury.terminate(), 0);
    assert_eq!(stratum.terminate(), 0);
    // The whole pool goes on with what the part has logged.
    let pool = config.start_ready();
    wait_until("shares in the books", MINUTE, || audit(&config).code == 0);
    assert_eq!(pool.terminate(), 0);
    audit(&config).assert_clean();
}
