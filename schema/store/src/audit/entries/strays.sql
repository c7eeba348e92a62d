-- Postings without an entry or an account.
SELECT 'posting ' || p.id AS subject, p.amount AS stored, CAST(0 AS BIGINT) AS computed
FROM postings p
WHERE p.id > $1 AND p.id <= $2 AND (
    NOT EXISTS (SELECT 1 FROM entries e WHERE e.id = p.entry_id)
    OR NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = p.account_id)
)
