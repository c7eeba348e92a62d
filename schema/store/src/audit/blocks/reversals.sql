-- Blocks that were reversed another number of times than they say.
SELECT b.hash AS subject, b.reversals AS stored, COALESCE(e.n, 0) AS computed
FROM blocks b
LEFT JOIN (
    SELECT substr(reference, 1, 64) AS hash, COUNT(*) AS n FROM entries WHERE kind = 'block_reversed'
    GROUP BY substr(reference, 1, 64)
) AS e ON e.hash = b.hash
WHERE b.reversals <> COALESCE(e.n, 0)
