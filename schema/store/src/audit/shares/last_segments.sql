-- Worker identities whose totals are not those of their last segment.
SELECT 'line ' || i.id AS subject, i.work AS stored, COALESCE(s.total_work, 0) AS computed
FROM worker_identities i
LEFT JOIN segments s ON s.identity_id = i.id
    AND s.start_seq = (SELECT MAX(x.start_seq) FROM segments x WHERE x.identity_id = i.id)
WHERE i.id > $1 AND i.id <= $2
    AND (i.work <> COALESCE(s.total_work, 0) OR i.shares <> COALESCE(s.total_shares, 0))
