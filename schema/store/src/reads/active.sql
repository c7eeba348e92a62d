-- Miners and workers with accepted work since a minute.
SELECT COUNT(DISTINCT i.miner_id) AS miners, COUNT(DISTINCT i.id) AS workers
FROM worker_identities i
WHERE EXISTS (SELECT 1 FROM segments s WHERE s.identity_id = i.id AND s.minute >= $1)
