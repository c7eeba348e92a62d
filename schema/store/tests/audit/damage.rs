//! Ways in which a history can be damaged.

/// What is done, what undoes it, and the checks that see it.
pub(crate) type Damage = (&'static str, &'static str, &'static [&'static str]);

pub(crate) const BOOKS: &[Damage] = &[
    (
        "UPDATE postings SET amount = amount + 1 WHERE id = 2",
        "UPDATE postings SET amount = amount - 1 WHERE id = 2",
        &["entry sums to zero", "balance is the sum of its postings", "credit is what the weights say"],
    ),
    (
        "UPDATE postings SET amount = amount + 1 WHERE id = 2; UPDATE postings SET amount = amount - 1 WHERE id = 3",
        "UPDATE postings SET amount = amount - 1 WHERE id = 2; UPDATE postings SET amount = amount + 1 WHERE id = 3",
        &["balance is the sum of its postings", "credit is what the weights say"],
    ),
    (
        "UPDATE accounts SET balance = balance + 7 WHERE key = 'payable:A'",
        "UPDATE accounts SET balance = balance - 7 WHERE key = 'payable:A'",
        &["balance is the sum of its postings", "all balances sum to zero"],
    ),
    (
        "UPDATE accounts SET balance = -balance WHERE key = 'payable:C'",
        "UPDATE accounts SET balance = -balance WHERE key = 'payable:C'",
        &["balance has the sign of its kind"],
    ),
    (
        "UPDATE accounts SET miner_id = NULL WHERE key = 'payable:A'",
        "UPDATE accounts SET miner_id = (SELECT id FROM miners WHERE address = 'A') WHERE key = 'payable:A'",
        &["account is named by kind and miner"],
    ),
    (
        "INSERT INTO entries (kind, reference, epoch, at) VALUES ('adjustment', 'empty', 1, 1)",
        "DELETE FROM entries WHERE reference = 'empty'",
        &["entry has two postings"],
    ),
    (
        "INSERT INTO postings (id, entry_id, account_id, amount) VALUES (9999, 9999, 9999, 5)",
        "DELETE FROM postings WHERE id = 9999",
        &["posting has entry and account"],
    ),
];

pub(crate) const SHARES: &[Damage] = &[
    (
        "UPDATE worker_identities SET work = work + 1 WHERE id = 1",
        "UPDATE worker_identities SET work = work - 1 WHERE id = 1",
        &["line's totals are its last segment's", "batches hold the work of all lines"],
    ),
    (
        "UPDATE worker_identities SET rejects = rejects + 1 WHERE id = 1",
        "UPDATE worker_identities SET rejects = rejects - 1 WHERE id = 1",
        &["line's rejects are the sum"],
    ),
    (
        "UPDATE segments SET total_work = total_work + 3 WHERE identity_id = 1 AND minute = 30000010",
        "UPDATE segments SET total_work = total_work - 3 WHERE identity_id = 1 AND minute = 30000010",
        &["segment's totals follow from the one before"],
    ),
    // Everything about the segment and after it is consistent, only the shares know better.
    (
        "UPDATE segments SET work = work + 3 WHERE identity_id = 1 AND minute = 30000010; \
         UPDATE segments SET total_work = total_work + 3 WHERE identity_id = 1 AND minute >= 30000010; \
         UPDATE worker_identities SET work = work + 3 WHERE id = 1",
        "UPDATE segments SET work = work - 3 WHERE identity_id = 1 AND minute = 30000010; \
         UPDATE segments SET total_work = total_work - 3 WHERE identity_id = 1 AND minute >= 30000010; \
         UPDATE worker_identities SET work = work - 3 WHERE id = 1",
        &[
            "segments of a minute are its shares",
            "batches hold the work of all lines",
            "segments of a window are its shares",
        ],
    ),
    (
        "UPDATE share_batches SET work = work + 1 WHERE id = 2",
        "UPDATE share_batches SET work = work - 1 WHERE id = 2",
        &["batch holds what its row says"],
    ),
    (
        "UPDATE share_batches SET first_seq = first_seq - 1 WHERE id = 2",
        "UPDATE share_batches SET first_seq = first_seq + 1 WHERE id = 2",
        &["batch holds what its row says"],
    ),
    (
        "UPDATE share_batches SET last_seq = last_seq + 1000 WHERE id = 2",
        "UPDATE share_batches SET last_seq = last_seq - 1000 WHERE id = 2",
        &["batch is in its place", "batch holds what its row says"],
    ),
    (
        "CREATE TABLE aside AS SELECT id, digest, body FROM share_batches WHERE id = 2; \
         UPDATE share_batches SET digest = (SELECT digest FROM share_batches WHERE id = 3) WHERE id = 2",
        "UPDATE share_batches SET digest = (SELECT digest FROM aside) WHERE id = 2",
        &["batch has its digest"],
    ),
    (
        "UPDATE share_batches SET body = digest WHERE id = 2",
        "UPDATE share_batches SET body = (SELECT body FROM aside) WHERE id = 2; DROP TABLE aside",
        &["batch can be decoded", "batches hold the work of all lines", "weights are what the shares say"],
    ),
    (
        "UPDATE share_batches SET host_id = 99 WHERE id = 4",
        "UPDATE share_batches SET host_id = 1 WHERE id = 4",
        &[
            "batches hold the work of all lines",
            "verdict is about a stored share",
            "segments of a window are its shares",
        ],
    ),
    (
        "UPDATE verdicts SET difficulty = difficulty + 1 WHERE share_seq = 14",
        "UPDATE verdicts SET difficulty = difficulty - 1 WHERE share_seq = 14",
        &["verdict says what its share says"],
    ),
    (
        "UPDATE verdicts SET seq = 1 WHERE share_seq = 14",
        "UPDATE verdicts SET seq = 16 WHERE share_seq = 14",
        &["verdict follows its share"],
    ),
    (
        "INSERT INTO verdicts (host_id, share_seq, identity_id, minute, difficulty, verdict, seq) VALUES (1, 90000, 1, 30000001, 5, 'verified', 90001)",
        "DELETE FROM verdicts WHERE share_seq = 90000",
        &["verdict is about a stored share"],
    ),
];

pub(crate) const BLOCKS: &[Damage] = &[
    (
        "UPDATE blocks SET credits = credits + 1 WHERE id = 1",
        "UPDATE blocks SET credits = credits - 1 WHERE id = 1",
        &["block was credited as often as it says", "state of a block follows from its credits"],
    ),
    (
        "UPDATE blocks SET state = 'reversed' WHERE id = 1",
        "UPDATE blocks SET state = 'credited' WHERE id = 1",
        &["state of a block follows from its credits"],
    ),
    (
        "UPDATE blocks SET reversals = 0 WHERE id = 2",
        "UPDATE blocks SET reversals = 1 WHERE id = 2",
        &["block was reversed as often as it says"],
    ),
    (
        "UPDATE blocks SET state = 'confirmed' WHERE id = 3",
        "UPDATE blocks SET state = 'candidate' WHERE id = 3",
        &["block is weighed once it is confirmed"],
    ),
    (
        "UPDATE blocks SET hash = 'x' || substr(hash, 2) WHERE id = 1",
        "UPDATE blocks SET hash = '0' || substr(hash, 2) WHERE id = 1",
        &["block entry has a block", "block was credited as often as it says"],
    ),
    (
        "UPDATE blocks SET reward = reward + 1 WHERE id = 2",
        "UPDATE blocks SET reward = reward - 1 WHERE id = 2",
        &["credit is what the weights say", "reversal takes back the reward"],
    ),
    (
        "UPDATE block_weights SET credit = credit + 1 WHERE block_id = 1 AND miner_id = 1",
        "UPDATE block_weights SET credit = credit - 1 WHERE block_id = 1 AND miner_id = 1",
        &["credit is what the weights say"],
    ),
    (
        "UPDATE block_weights SET credit = credit + 7200000000 WHERE block_id = 1 AND miner_id = 1",
        "UPDATE block_weights SET credit = credit - 7200000000 WHERE block_id = 1 AND miner_id = 1",
        &["credits are within the reward"],
    ),
    (
        "UPDATE block_weights SET verified = verified + 1, weight = weight + 1 WHERE block_id = 2 AND miner_id = 1",
        "UPDATE block_weights SET verified = verified - 1, weight = weight - 1 WHERE block_id = 2 AND miner_id = 1",
        &["weights are what the shares say"],
    ),
    (
        "UPDATE block_weights SET provisional = provisional + 1, weight = weight + 1 WHERE block_id = 1 AND miner_id = 1",
        "UPDATE block_weights SET provisional = provisional - 1, weight = weight - 1 WHERE block_id = 1 AND miner_id = 1",
        &["weights are what the shares say"],
    ),
    (
        "UPDATE block_weights SET weight = weight + 1 WHERE block_id = 1 AND miner_id = 2",
        "UPDATE block_weights SET weight = weight - 1 WHERE block_id = 1 AND miner_id = 2",
        &["weights are what the shares say"],
    ),
    (
        "UPDATE block_weights SET block_id = 3 WHERE block_id = 1 AND miner_id = 3",
        "UPDATE block_weights SET block_id = 1 WHERE block_id = 3 AND miner_id = 3",
        &["weights are what the shares say", "block is weighed once it is confirmed"],
    ),
    (
        "UPDATE templates SET reward = reward + 1, policy_id = 2 WHERE id = 1",
        "UPDATE templates SET reward = reward - 1, policy_id = 1 WHERE id = 1",
        &["block is what its template says", "block is priced by the policy of its template"],
    ),
    (
        "UPDATE hosts SET registered_at = registered_at + 99999999 WHERE id = 1; \
         INSERT INTO hosts (name, registered_at) VALUES ('h2', 0)",
        "UPDATE hosts SET registered_at = registered_at - 99999999 WHERE id = 1; DELETE FROM hosts WHERE name = 'h2'",
        &["window has an end in every log"],
    ),
    (
        "UPDATE block_windows SET verdict_seq = verdict_seq + 99999 WHERE block_id = 1",
        "UPDATE block_windows SET verdict_seq = verdict_seq - 99999 WHERE block_id = 1",
        &["window and verdicts are folded"],
    ),
    (
        "UPDATE blocks SET nonce = nonce + 1 WHERE id = 1; UPDATE blocks SET found_at = found_at + 7 WHERE id = 2",
        "UPDATE blocks SET nonce = nonce - 1 WHERE id = 1; UPDATE blocks SET found_at = found_at - 7 WHERE id = 2",
        &["block is what its share says"],
    ),
    (
        "UPDATE segments SET last_seq = last_seq + 40 WHERE identity_id = 1 AND minute = 30000035",
        "UPDATE segments SET last_seq = last_seq - 40 WHERE identity_id = 1 AND minute = 30000035",
        &["window ends where segments end"],
    ),
    (
        "UPDATE block_windows SET end_seq = 1 WHERE block_id = 1",
        "UPDATE block_windows SET end_seq = (SELECT share_seq + 1 FROM blocks WHERE id = 1) WHERE block_id = 1",
        &["window holds the finding share", "weights are what the shares say"],
    ),
    (
        "UPDATE block_windows SET end_seq = end_seq - 30 WHERE block_id = 1",
        "UPDATE block_windows SET end_seq = end_seq + 30 WHERE block_id = 1",
        &["weights are what the shares say"],
    ),
];

pub(crate) const PAYOUTS: &[Damage] = &[
    (
        "UPDATE accounts SET balance = balance + 7 WHERE key = 'inflight:A'",
        "UPDATE accounts SET balance = balance - 7 WHERE key = 'inflight:A'",
        &["in flight is what open payouts took"],
    ),
    (
        "UPDATE intents SET state = 'settled' WHERE id LIKE '%3'",
        "UPDATE intents SET state = 'reserved' WHERE id LIKE '%3'",
        &["payout entry says what the payout says", "in flight is what open payouts took"],
    ),
    (
        "UPDATE intents SET state = 'unknown' WHERE id LIKE '%1'",
        "UPDATE intents SET state = 'settled' WHERE id LIKE '%1'",
        &["payout entry fits the state"],
    ),
    (
        "UPDATE intents SET state = 'settled' WHERE id LIKE '%2'",
        "UPDATE intents SET state = 'released' WHERE id LIKE '%2'",
        &["payout entry fits the state", "payout entry says what the payout says"],
    ),
    (
        "UPDATE intents SET gross = gross + 1 WHERE id LIKE '%1'",
        "UPDATE intents SET gross = gross - 1 WHERE id LIKE '%1'",
        &["payout is the sum of its recipients"],
    ),
    (
        "UPDATE intents SET fee_paid = fee_paid + 1 WHERE id LIKE '%1'",
        "UPDATE intents SET fee_paid = fee_paid - 1 WHERE id LIKE '%1'",
        &["payout entry says what the payout says"],
    ),
    (
        "UPDATE intents SET recipients = 3 WHERE id LIKE '%1'",
        "UPDATE intents SET recipients = 2 WHERE id LIKE '%1'",
        &["payout counts its recipients"],
    ),
    (
        "UPDATE intents SET attempt = 2 WHERE id LIKE '%1'",
        "UPDATE intents SET attempt = 1 WHERE id LIKE '%1'",
        &["payout has all its attempts"],
    ),
    (
        "UPDATE intent_recipients SET net = net + 1 WHERE intent_id LIKE '%1' AND net = 870",
        "UPDATE intent_recipients SET net = net - 1 WHERE intent_id LIKE '%1' AND net = 871",
        &["payout entry says what the payout says"],
    ),
    (
        "UPDATE intent_recipients SET net = 901 WHERE intent_id LIKE '%3' AND net = 870",
        "UPDATE intent_recipients SET net = 870 WHERE intent_id LIKE '%3' AND net = 901",
        &["payout sends no more than it takes"],
    ),
    (
        "UPDATE entries SET reference = 'nobody' WHERE kind = 'payout_settled'",
        "UPDATE entries SET reference = '00000000000000000000000000000001' WHERE kind = 'payout_settled'",
        &["payout entry has a payout", "payout entry says what the payout says"],
    ),
];
