-- Accepted work since a minute, by the first minute of each worker's. A worker may come from several places, and over
-- several hosts.
SELECT w.first_minute, CAST(SUM(w.work) AS BIGINT) AS work
FROM (
    SELECT MIN(s.minute) AS first_minute, SUM(s.work) AS work
    FROM segments s JOIN worker_identities i ON i.id = s.identity_id
    WHERE s.minute >= $1
    GROUP BY i.miner_id, i.worker
) AS w
GROUP BY w.first_minute
ORDER BY w.first_minute
