-- Blocks that were credited another number of times than they say. A block's entries begin with its hash, 64 digits
-- long.
SELECT b.hash AS subject, b.credits AS stored, COALESCE(e.n, 0) AS computed
FROM blocks b
LEFT JOIN (
    SELECT substr(reference, 1, 64) AS hash, COUNT(*) AS n FROM entries WHERE kind = 'block_credited'
    GROUP BY substr(reference, 1, 64)
) AS e ON e.hash = b.hash
WHERE b.credits <> COALESCE(e.n, 0)
