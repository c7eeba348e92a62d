-- Entries that do not sum to zero.
SELECT e.kind || ' ' || e.reference AS subject, CAST(0 AS BIGINT) AS stored,
    CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed
FROM entries e
LEFT JOIN postings p ON p.entry_id = e.id
WHERE e.id > $1 AND e.id <= $2
GROUP BY e.id, e.kind, e.reference
HAVING COALESCE(SUM(p.amount), 0) <> 0
