-- Worker identities that are not there yet; their miners are.
INSERT INTO worker_identities (host_id, miner_id, worker, origin)
SELECT DISTINCT h.id, m.id, value->>2, {unhex(value->>3)}
FROM {rows} CROSS JOIN miners m CROSS JOIN hosts h
WHERE m.address = value->>1 AND h.id = $2
ON CONFLICT (host_id, miner_id, worker, origin) DO NOTHING
