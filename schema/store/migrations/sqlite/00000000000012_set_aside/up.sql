-- Records of share logs that the database refused: they wait here until an operator has them tried again. Bounded by the
-- fold, which stops when there are too many.
CREATE TABLE set_aside (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host_id INTEGER NOT NULL REFERENCES hosts (id),
    -- `line` is a definition, with all records that refer to it; anything else is one record and what is said of it.
    kind TEXT NOT NULL CHECK (kind IN ('line', 'share', 'verdict', 'rejects', 'candidate')),
    -- Position of the record that was refused.
    seq INTEGER NOT NULL,
    -- As the log has it; bytes, since its text may be what is refused.
    definition BLOB NOT NULL,
    -- What the database said.
    why TEXT NOT NULL,
    set_aside_at INTEGER NOT NULL,
    -- When an operator asked for another try: the owner of the log appends the records to it, row by row.
    retry_at INTEGER
) STRICT;
CREATE INDEX set_aside_by_host ON set_aside (host_id);

-- The records: frames of the log with their positions, compressed.
CREATE TABLE set_aside_records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id INTEGER NOT NULL REFERENCES set_aside (id),
    host_id INTEGER NOT NULL REFERENCES hosts (id),
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    records INTEGER NOT NULL CHECK (records > 0),
    body BLOB NOT NULL,
    -- Where the first of them is in the log again, and the minute that its shares are booked to.
    retried_seq INTEGER,
    retried_minute INTEGER
) STRICT;
CREATE INDEX set_aside_records_by_item ON set_aside_records (item_id);
CREATE INDEX set_aside_records_by_host ON set_aside_records (host_id, first_seq);
