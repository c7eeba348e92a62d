-- Worker identities of a step, with the last segment of each. `CROSS JOIN` keeps SQLite from reading the whole list
-- once for every identity of the host.
SELECT r.place, i.id, i.shares AS identity_shares, i.work AS identity_work, i.first_share_at, i.last_share_at,
    s.start_seq, s.last_seq, s.minute, s.shares, s.work
FROM (
    SELECT CAST(value->>0 AS BIGINT) AS place, value->>1 AS address, value->>2 AS worker, {unhex(value->>3)} AS origin
    FROM {rows}
) AS r
CROSS JOIN miners m
CROSS JOIN worker_identities i
LEFT JOIN segments s ON s.identity_id = i.id
    AND s.start_seq = (SELECT MAX(x.start_seq) FROM segments x WHERE x.identity_id = i.id)
WHERE m.address = r.address
    AND i.host_id = $2 AND i.miner_id = m.id AND i.worker = r.worker AND i.origin = r.origin
