-- Worker identities whose rejects are not the sum.
SELECT 'line ' || i.id AS subject, i.rejects AS stored,
    CAST(i.pruned_rejects + COALESCE(SUM(r.count), 0) AS BIGINT) AS computed
FROM worker_identities i
LEFT JOIN rejects r ON r.identity_id = i.id
WHERE i.id > $1 AND i.id <= $2
GROUP BY i.id, i.rejects, i.pruned_rejects
HAVING i.rejects <> i.pruned_rejects + COALESCE(SUM(r.count), 0)
