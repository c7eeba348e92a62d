-- Accounts that do not count what blocks gave them.
SELECT a.key AS subject, a.from_blocks AS stored, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed
FROM accounts a
LEFT JOIN (
    SELECT p.account_id, p.amount FROM postings p JOIN entries e ON e.id = p.entry_id
    WHERE e.kind IN ('block_credited', 'block_reversed')
) AS p ON p.account_id = a.id
WHERE a.id > $1 AND a.id <= $2
GROUP BY a.id, a.key, a.from_blocks
HAVING a.from_blocks <> COALESCE(SUM(p.amount), 0)
