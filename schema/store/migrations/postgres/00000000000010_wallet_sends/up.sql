-- Sends of the wallet whose memo is that of a payout which the books do not have, and what an operator decided about
-- each. An undecided one stops all sending.
CREATE TABLE unknown_sends (
    txid TEXT PRIMARY KEY,
    memo TEXT NOT NULL,
    wallet TEXT NOT NULL,
    sent_at BIGINT NOT NULL,
    -- The wallet's tip when it was sent.
    sent_height BIGINT NOT NULL,
    fee BIGINT NOT NULL CHECK (fee >= 0),
    -- JSON list of [address, amount].
    recipients TEXT NOT NULL,
    -- Why it cannot be adopted whatever happens; empty when it can.
    defect TEXT,
    -- Where it was when the wallet was last read, and the tip then.
    chain_state TEXT NOT NULL CHECK (chain_state IN ('confirmed', 'mempool', 'not_found')),
    block_height BIGINT,
    seen_height BIGINT NOT NULL,
    -- When it was first noticed, and the tip then: the books must have come so far before it is booked.
    noted_at BIGINT NOT NULL,
    noted_height BIGINT NOT NULL,
    decision TEXT CHECK (decision IN ('adopt', 'foreign', 'given_up')),
    because TEXT,
    decided_at BIGINT,
    -- Why an adopted one is not booked yet.
    waits_for TEXT,
    booked_at BIGINT
);
CREATE INDEX unknown_sends_by_memo ON unknown_sends (memo);

-- What payouts know of the wallet: one row.
CREATE TABLE payout_books (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    -- How often the wallet was, or may have been, asked to send. The data directory has a copy.
    steps BIGINT NOT NULL DEFAULT 0 CHECK (steps >= 0),
    -- The copy, where it is ahead and an operator must say what that means.
    steps_ahead BIGINT,
    -- Up to which height all sends of which wallet are known, and how many were clearly older than that.
    read_wallet TEXT,
    read_height BIGINT,
    read_sends BIGINT,
    -- Why payouts stand, as JSON; empty before it was ever known.
    standing TEXT
);
INSERT INTO payout_books (id) VALUES (1);

-- When a payout was booked that the wallet had sent without these books; it has no request.
ALTER TABLE intents ADD COLUMN adopted_at BIGINT;
-- The epoch under which it last became reserved: under a later one it may have been asked for since.
ALTER TABLE intents ADD COLUMN reserved_epoch BIGINT;
