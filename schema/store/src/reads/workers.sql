-- A miner's workers, by recent work (since the minute $1), then name. Recent work is a difference of running totals: the
-- identity's own less that of its last segment before the minute. Where older segments are gone, less what was before
-- the first one that is left.
SELECT i.worker, CAST(SUM(i.shares) AS BIGINT) AS shares, CAST(SUM(i.rejects) AS BIGINT) AS rejects,
    MAX(i.last_share_at) AS last_share_at,
    CAST(SUM(i.work - COALESCE(
        (
            SELECT s.total_work FROM segments s WHERE s.identity_id = i.id AND s.minute < $1
            ORDER BY s.start_seq DESC LIMIT 1
        ),
        (SELECT s.total_work - s.work FROM segments s WHERE s.identity_id = i.id ORDER BY s.start_seq LIMIT 1),
        i.work
    )) AS BIGINT) AS recent_work,
    MIN((SELECT MIN(s.minute) FROM segments s WHERE s.identity_id = i.id AND s.minute >= $1)) AS recent_since
FROM worker_identities i
WHERE i.miner_id = $2
GROUP BY i.worker
ORDER BY recent_work DESC, i.worker
LIMIT $3
