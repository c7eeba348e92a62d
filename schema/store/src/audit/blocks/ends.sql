-- Weighed blocks whose window has no end in the log of a host: weights wait for every host that was there at the find.
SELECT b.hash || ' ' || h.name AS subject, CAST(0 AS BIGINT) AS stored, CAST(1 AS BIGINT) AS computed
FROM blocks b
JOIN hosts h ON h.registered_at <= b.found_at
LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = h.id
WHERE b.weights_digest IS NOT NULL AND w.end_seq IS NULL
