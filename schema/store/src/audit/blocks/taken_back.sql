-- Reversals that do not take back the reward.
SELECT e.reference AS subject, b.reward AS stored, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed
FROM entries e
JOIN blocks b ON b.hash = substr(e.reference, 1, 64)
LEFT JOIN postings p ON p.entry_id = e.id AND p.account_id = (SELECT id FROM accounts WHERE key = 'chain_rewards')
WHERE e.kind = 'block_reversed'
GROUP BY e.id, e.reference, b.reward
HAVING b.reward <> COALESCE(SUM(p.amount), 0)
