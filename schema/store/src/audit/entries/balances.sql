-- Balances that are not the sum of their postings.
SELECT a.key AS subject, a.balance AS stored, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed
FROM accounts a
LEFT JOIN postings p ON p.account_id = a.id
WHERE a.id > $1 AND a.id <= $2
GROUP BY a.id, a.key, a.balance
HAVING a.balance <> COALESCE(SUM(p.amount), 0)
