-- Pairs of payout address and origin that sent false shares. Bounded by its writers.
CREATE TABLE suspects (
    address TEXT NOT NULL,
    origin BLOB NOT NULL,
    reason TEXT NOT NULL,
    strikes INTEGER NOT NULL CHECK (strikes > 0),
    struck_at INTEGER NOT NULL,
    -- Every share is proven before it is acknowledged until then.
    forced_until INTEGER NOT NULL,
    -- Every share is refused until then.
    quarantined_until INTEGER,
    -- Its uncredited work from before then is still to be voided.
    void_before INTEGER,
    -- When it is forgiven. Deleting the row forgives it at once.
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (address, origin)
) STRICT;
CREATE INDEX suspects_by_end ON suspects (ends_at);
