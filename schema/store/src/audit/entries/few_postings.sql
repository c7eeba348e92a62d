-- Entries with less than two postings.
SELECT e.kind || ' ' || e.reference AS subject, COUNT(p.id) AS stored, CAST(2 AS BIGINT) AS computed
FROM entries e
LEFT JOIN postings p ON p.entry_id = e.id
WHERE e.id > $1 AND e.id <= $2
GROUP BY e.id, e.kind, e.reference
HAVING COUNT(p.id) < 2
