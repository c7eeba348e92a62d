//! What the database itself refuses, whoever asks.
use crate::common::for_each_database;

const SEED: &str = "
    INSERT INTO hosts (id, name, registered_at) VALUES (1, 'host', 0);
    INSERT INTO miners (id, address, first_seen_at) VALUES (1, 'alice', 0);
    INSERT INTO templates (id, merkle_root, height, prev_hash, header_base, difficulty, reward, seen_at)
        VALUES (1, 'root', 1, 'prev', BYTES, 1, 1, 0);
    INSERT INTO policies (id, body, created_at) VALUES (1, '{}', 0);
    INSERT INTO accounts (id, key, kind, miner_id, balance) VALUES (1, 'payable:alice', 'payable', 1, 5);
    INSERT INTO accounts (id, key, kind, balance) VALUES (2, 'chain_rewards', 'chain_rewards', -5);
    INSERT INTO entries (id, kind, reference, epoch, at) VALUES (1, 'block_credited', 'r', 1, 0);
    INSERT INTO postings (entry_id, account_id, amount) VALUES (1, 1, 5), (1, 2, -5);";

const BLOCK: &str =
    "INSERT INTO blocks (hash, height, state, host_id, template_id, nonce, share_seq, difficulty, reward,
    found_at, policy_id, window_start, round_work, round_started_at, pool_work)";

#[test]
fn what_must_never_be_stored_is_refused() {
    let refused = [
        "UPDATE entries SET at = 1",
        "DELETE FROM entries",
        "UPDATE postings SET amount = 4 WHERE account_id = 1",
        "DELETE FROM postings",
        "INSERT INTO postings (entry_id, account_id, amount) VALUES (1, 1, 0)",
        "INSERT INTO postings (entry_id, account_id, amount) VALUES (9, 1, 1)",
        "INSERT INTO entries (kind, reference, epoch, at) VALUES ('block_credited', 'r', 2, 0)",
        "UPDATE accounts SET balance = -1 WHERE id = 1",
        "INSERT INTO accounts (key, kind, balance) VALUES ('pool_fee', 'pool_fee', -1)",
        "INSERT INTO accounts (key, kind, balance) VALUES ('inflight:alice', 'inflight', -1)",
        "INSERT INTO accounts (key, kind, balance) VALUES ('payable:alice', 'payable', 1)",
        "UPDATE hosts SET folded_seq = -1",
        "INSERT INTO hosts (name, registered_at) VALUES ('host', 0)",
        "INSERT INTO worker_identities (host_id, miner_id, worker, origin, shares) VALUES (1, 1, '', BYTES, -1)",
        "INSERT INTO worker_identities (host_id, miner_id, worker, origin) VALUES (1, 9, '', BYTES)",
        "INSERT INTO verdicts VALUES (1, 1, 1, 1, 1, 'perhaps', 1)",
        "INSERT INTO intents (id, state, gross, recipients, fee_expected, created_at, created_height) \
            VALUES ('i', 'sent', 1, 1, 0, 0, 0)",
        "INSERT INTO intents (id, state, gross, recipients, fee_expected, created_at, created_height) \
            VALUES ('i', 'reserved', 0, 1, 0, 0, 0)",
    ];
    for_each_database(async |db| {
        let bytes = if db.is_postgres() { "'x'" } else { "x'78'" };
        db.sql(&SEED.replace("BYTES", bytes)).unwrap();
        for statement in refused {
            let statement = statement.replace("BYTES", bytes);
            assert!(db.sql(&statement).is_err(), "accepted: {statement}");
        }
        db.sql(&format!("{BLOCK} VALUES ('h', 1, 'seen', 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0)")).unwrap();
        for values in [
            "('h', 1, 'seen', 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0)",
            "('i', 1, 'mined', 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0)",
        ] {
            assert!(db.sql(&format!("{BLOCK} VALUES {values}")).is_err(), "accepted: {values}");
        }
        db.sql("UPDATE accounts SET balance = -7 WHERE id = 2").unwrap();
    });
}
