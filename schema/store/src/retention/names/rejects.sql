-- All rejects of worker identities, with their miners.
SELECT r.identity_id, r.minute, r.reason, r.count, i.miner_id
FROM rejects r JOIN worker_identities i ON i.id = r.identity_id
WHERE r.identity_id IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})
