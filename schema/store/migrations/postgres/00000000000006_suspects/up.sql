-- Pairs of payout address and origin that sent false shares. Bounded by its writers.
CREATE TABLE suspects (
    address TEXT NOT NULL,
    origin BYTEA NOT NULL,
    reason TEXT NOT NULL,
    strikes BIGINT NOT NULL CHECK (strikes > 0),
    struck_at BIGINT NOT NULL,
    -- Every share is proven before it is acknowledged until then.
    forced_until BIGINT NOT NULL,
    -- Every share is refused until then.
    quarantined_until BIGINT,
    -- Its uncredited work from before then is still to be voided.
    void_before BIGINT,
    -- When it is forgiven. Deleting the row forgives it at once.
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (address, origin)
);
CREATE INDEX suspects_by_end ON suspects (ends_at);
