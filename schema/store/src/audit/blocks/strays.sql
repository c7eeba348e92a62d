-- Entries of blocks that are not there.
SELECT e.kind || ' ' || e.reference AS subject, CAST(1 AS BIGINT) AS stored, CAST(0 AS BIGINT) AS computed
FROM entries e
LEFT JOIN blocks b ON b.hash = substr(e.reference, 1, 64)
WHERE e.kind IN ('block_credited', 'block_reversed') AND b.id IS NULL
