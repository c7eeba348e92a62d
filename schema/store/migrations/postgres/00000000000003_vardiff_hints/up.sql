-- The difficulty at which a miner's worker met the target share rate when it was last seen. Worth nothing after a day.
CREATE TABLE vardiff_hints (
    address TEXT NOT NULL,
    worker TEXT NOT NULL,
    -- Where it connected from, as in lines.
    origin BYTEA NOT NULL,
    difficulty BIGINT NOT NULL CHECK (difficulty > 0),
    measured_at BIGINT NOT NULL,
    PRIMARY KEY (address, worker)
);
CREATE INDEX vardiff_hints_by_age ON vardiff_hints (measured_at);
