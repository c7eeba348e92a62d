-- Clients (IPv4 address or IPv6 /64) that may not connect, or were not allowed to a while ago. Bounded by its writers.
CREATE TABLE client_bans (
    client TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    -- How many there were in a row.
    times INTEGER NOT NULL CHECK (times > 0)
) STRICT;
