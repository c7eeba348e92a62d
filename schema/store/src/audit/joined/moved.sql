-- What entries that join move to somebody else: what one account loses, the account of the same kind of the same miner
-- gains.
SELECT e.reference || ' ' || a.kind AS subject, CAST(SUM(p.amount) AS BIGINT) AS stored, CAST(0 AS BIGINT) AS computed
FROM entries e
JOIN postings p ON p.entry_id = e.id
JOIN accounts a ON a.id = p.account_id
LEFT JOIN miners m ON m.id = a.miner_id
WHERE e.kind = 'accounts_joined'
GROUP BY e.id, e.reference, a.kind, COALESCE(m.joined_into, m.id)
HAVING SUM(p.amount) <> 0
