-- Times are milliseconds since the epoch, money is atoms, work is expected hashes. Twin of the PostgreSQL file of the same name.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One process that writes a share log, and how far its log is folded into these tables.
CREATE TABLE hosts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    folded_seq INTEGER NOT NULL DEFAULT 0 CHECK (folded_seq >= 0),
    -- Segments that end at or before this position are closed: a block window ends there.
    closed_seq INTEGER NOT NULL DEFAULT 0 CHECK (closed_seq >= 0),
    registered_at INTEGER NOT NULL,
    folded_at INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE miners (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    first_seen_at INTEGER NOT NULL
) STRICT;

-- The grain of share accounting: (host, miner, worker, origin), with running totals of accepted shares.
CREATE TABLE lines (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host_id INTEGER NOT NULL REFERENCES hosts (id),
    miner_id INTEGER NOT NULL REFERENCES miners (id),
    worker TEXT NOT NULL,
    origin BLOB NOT NULL,
    shares INTEGER NOT NULL DEFAULT 0 CHECK (shares >= 0),
    work INTEGER NOT NULL DEFAULT 0 CHECK (work >= 0),
    rejects INTEGER NOT NULL DEFAULT 0 CHECK (rejects >= 0),
    first_share_at INTEGER NOT NULL DEFAULT 0,
    last_share_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (host_id, miner_id, worker, origin)
) STRICT;
CREATE INDEX lines_by_miner ON lines (miner_id);

CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    merkle_root TEXT NOT NULL UNIQUE,
    height INTEGER NOT NULL,
    prev_hash TEXT NOT NULL,
    header_base BLOB NOT NULL,
    difficulty INTEGER NOT NULL,
    reward INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX templates_by_height ON templates (height);

-- All shares that a host folded at once, encoded and compressed.
CREATE TABLE share_batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host_id INTEGER NOT NULL REFERENCES hosts (id),
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    shares INTEGER NOT NULL CHECK (shares > 0),
    work INTEGER NOT NULL CHECK (work > 0),
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (host_id, first_seq)
) STRICT;
CREATE INDEX share_batches_by_time ON share_batches (last_at);

-- Accepted work of one line in one minute, or in the part of it before a block window's end.
CREATE TABLE segments (
    line_id INTEGER NOT NULL REFERENCES lines (id),
    start_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    shares INTEGER NOT NULL CHECK (shares > 0),
    work INTEGER NOT NULL CHECK (work > 0),
    -- The line's totals with this segment included.
    total_shares INTEGER NOT NULL,
    total_work INTEGER NOT NULL,
    PRIMARY KEY (line_id, start_seq)
) STRICT;
CREATE INDEX segments_by_minute ON segments (minute);
-- Where a payout window begins in each line.
CREATE INDEX segments_by_line ON segments (line_id, minute, start_seq);

-- What was found out about a logged share. Keyed by the share's log position.
CREATE TABLE verdicts (
    host_id INTEGER NOT NULL REFERENCES hosts (id),
    share_seq INTEGER NOT NULL,
    line_id INTEGER NOT NULL REFERENCES lines (id),
    minute INTEGER NOT NULL,
    difficulty INTEGER NOT NULL CHECK (difficulty > 0),
    verdict TEXT NOT NULL CHECK (verdict IN ('verified', 'rejected', 'voided')),
    -- Position of the verdict itself.
    seq INTEGER NOT NULL,
    PRIMARY KEY (host_id, share_seq)
) STRICT;
CREATE INDEX verdicts_by_minute ON verdicts (minute);

CREATE TABLE rejects (
    line_id INTEGER NOT NULL REFERENCES lines (id),
    minute INTEGER NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (line_id, minute, reason)
) STRICT;
CREATE INDEX rejects_by_minute ON rejects (minute);

-- One version of the rules that price a block. Never changed.
CREATE TABLE policies (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE blocks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash TEXT NOT NULL UNIQUE,
    height INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('candidate', 'submitted', 'seen', 'confirmed', 'credited', 'reversed', 'lost')),
    host_id INTEGER NOT NULL REFERENCES hosts (id),
    template_id INTEGER NOT NULL REFERENCES templates (id),
    -- Empty for a block that no logged candidate explains.
    line_id INTEGER REFERENCES lines (id),
    nonce INTEGER NOT NULL,
    share_seq INTEGER NOT NULL,
    difficulty INTEGER NOT NULL,
    reward INTEGER NOT NULL CHECK (reward >= 0),
    found_at INTEGER NOT NULL,
    policy_id INTEGER NOT NULL REFERENCES policies (id),
    window_start INTEGER NOT NULL,
    -- Pool work since the block before it in the log.
    round_work INTEGER NOT NULL,
    round_started_at INTEGER NOT NULL,
    -- All accepted work of the pool when this row was made; the next round is measured from it.
    pool_work INTEGER NOT NULL,
    -- How often it was credited and reversed so far; part of the entries' references.
    credits INTEGER NOT NULL DEFAULT 0,
    reversals INTEGER NOT NULL DEFAULT 0,
    credited_at INTEGER,
    -- Of the stored weights: computed once, never again.
    weights_digest TEXT,
    verdict_seq INTEGER,
    -- First tip height at which another block stood at its height.
    displaced_at INTEGER,
    hold_reason TEXT
) STRICT;
CREATE INDEX blocks_by_height ON blocks (height);
CREATE INDEX blocks_by_state ON blocks (state);
CREATE INDEX blocks_by_line ON blocks (line_id);

CREATE TABLE block_windows (
    block_id INTEGER NOT NULL REFERENCES blocks (id),
    host_id INTEGER NOT NULL REFERENCES hosts (id),
    end_seq INTEGER NOT NULL,
    PRIMARY KEY (block_id, host_id)
) STRICT;

CREATE TABLE block_weights (
    block_id INTEGER NOT NULL REFERENCES blocks (id),
    miner_id INTEGER NOT NULL REFERENCES miners (id),
    verified INTEGER NOT NULL,
    provisional INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    credit INTEGER NOT NULL CHECK (credit >= 0),
    PRIMARY KEY (block_id, miner_id)
) STRICT;
CREATE INDEX block_weights_by_miner ON block_weights (miner_id);

-- Double entry. A balance is the running total of an account's postings.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    miner_id INTEGER REFERENCES miners (id),
    balance INTEGER NOT NULL DEFAULT 0,
    CHECK (kind NOT IN ('payable', 'inflight', 'pool_fee', 'paid_out', 'network_fee') OR balance >= 0)
) STRICT;
CREATE INDEX accounts_by_miner ON accounts (miner_id);
CREATE INDEX accounts_payable ON accounts (kind, balance);

CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    reference TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (kind, reference)
) STRICT;

CREATE TABLE postings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entry_id INTEGER NOT NULL REFERENCES entries (id),
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    amount INTEGER NOT NULL CHECK (amount <> 0)
) STRICT;
CREATE INDEX postings_by_entry ON postings (entry_id);
CREATE INDEX postings_by_account ON postings (account_id, id);
-- Finds an account's last reservation, to know since when it waits.
CREATE INDEX postings_taken ON postings (account_id, id) WHERE amount < 0;

CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never changed or deleted');
END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never changed or deleted');
END;
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never changed or deleted');
END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never changed or deleted');
END;

-- Who may write money, until when by the database's clock, and the fencing epoch.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE intents (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('planned', 'reserved', 'unknown', 'broadcast', 'confirmed', 'settled', 'released')),
    attempt INTEGER NOT NULL DEFAULT 0,
    gross INTEGER NOT NULL CHECK (gross > 0),
    recipients INTEGER NOT NULL CHECK (recipients > 0),
    fee_expected INTEGER NOT NULL CHECK (fee_expected >= 0),
    fee_paid INTEGER,
    txid TEXT,
    created_at INTEGER NOT NULL,
    created_height INTEGER NOT NULL,
    sent_at INTEGER,
    settled_at INTEGER,
    -- First tip height at which neither memo, mempool nor inputs showed it.
    absent_since INTEGER,
    -- Why an operator must look; empty when nothing is wrong.
    attention TEXT
) STRICT;
CREATE INDEX intents_by_state ON intents (state);
CREATE INDEX intents_by_time ON intents (created_at);
CREATE INDEX intents_by_sending ON intents (sent_at);

CREATE TABLE intent_lines (
    intent_id TEXT NOT NULL REFERENCES intents (id),
    miner_id INTEGER NOT NULL REFERENCES miners (id),
    gross INTEGER NOT NULL CHECK (gross > 0),
    net INTEGER NOT NULL CHECK (net > 0),
    PRIMARY KEY (intent_id, miner_id)
) STRICT;
CREATE INDEX intent_lines_by_miner ON intent_lines (miner_id);

-- What was, or may have been, asked of the wallet. The bytes are stored before the call.
CREATE TABLE intent_attempts (
    intent_id TEXT NOT NULL REFERENCES intents (id),
    attempt INTEGER NOT NULL,
    route TEXT NOT NULL CHECK (route IN ('send', 'advanced')),
    idempotency_key TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL,
    -- JSON list of [txid, index]; empty list where the daemon chooses.
    inputs TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_height INTEGER NOT NULL,
    outcome TEXT,
    PRIMARY KEY (intent_id, attempt)
) STRICT;

-- What each host last said about itself.
CREATE TABLE snapshots (
    host TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
