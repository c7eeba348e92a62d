-- Joined miners with worker identities.
SELECT m.address AS subject, i.id AS stored, m.joined_into AS computed
FROM miners m
JOIN worker_identities i ON i.miner_id = m.id
WHERE m.joined_into IS NOT NULL
