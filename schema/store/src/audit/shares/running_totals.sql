-- Segments whose totals do not follow from the one before.
SELECT 'line ' || identity_id || ' from ' || start_seq AS subject, total_work AS stored, work + before_work AS computed
FROM (
    SELECT identity_id, start_seq, last_seq, minute, shares, work, total_shares, total_work,
        LAG(total_work, 1, CAST(0 AS BIGINT)) OVER identity AS before_work,
        LAG(total_shares, 1, CAST(0 AS BIGINT)) OVER identity AS before_shares,
        LAG(last_seq, 1, CAST(0 AS BIGINT)) OVER identity AS before_seq,
        LAG(minute, 1, CAST(0 AS BIGINT)) OVER identity AS before_minute
    FROM segments WHERE identity_id > $1 AND identity_id <= $2
    WINDOW identity AS (PARTITION BY identity_id ORDER BY start_seq)
) AS s
WHERE total_work <> work + before_work OR total_shares <> shares + before_shares
    OR start_seq <= before_seq OR last_seq < start_seq OR minute < before_minute
