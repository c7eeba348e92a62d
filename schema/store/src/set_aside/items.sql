-- Items that have records which are not in the log again, oldest first, of a host or of all (0).
SELECT s.id, h.name AS host, s.kind, s.seq, s.definition, s.why, s.set_aside_at, s.retry_at,
    CAST(r.records AS BIGINT) AS records
FROM set_aside s
JOIN hosts h ON h.id = s.host_id
JOIN (
    SELECT item_id, SUM(records) AS records FROM set_aside_records WHERE retried_seq IS NULL GROUP BY item_id
) AS r ON r.item_id = s.id
WHERE s.host_id = $1 OR $1 = 0
ORDER BY s.id
