-- A host is open from its registration until it has stopped with everything folded. Blocks that are found meanwhile wait
-- for its log. Opened: the begin of the time of which not everything may be folded.
ALTER TABLE hosts ADD COLUMN opened_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN closed_at INTEGER;
-- The host whose log's older copy this one goes on with.
ALTER TABLE hosts ADD COLUMN replaces INTEGER;
UPDATE hosts SET opened_at = registered_at;

-- Positions of a host's log that are not in its tables and never will be.
CREATE TABLE log_gaps (
    host_id INTEGER NOT NULL REFERENCES hosts (id),
    first_seq INTEGER NOT NULL CHECK (first_seq > 0),
    last_seq INTEGER NOT NULL,
    -- lost: an operator gave them up. elsewhere: they belong to the host that this one replaces.
    kind TEXT NOT NULL CHECK (kind IN ('lost', 'elsewhere')),
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (host_id, first_seq),
    CHECK (last_seq >= first_seq)
) STRICT;
