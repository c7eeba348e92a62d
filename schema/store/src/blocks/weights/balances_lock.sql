-- The balances of all accounts of a credit entry and of the pool's fees, locked. An account of a miner that was joined
-- into another one is that one's.
SELECT key, balance FROM accounts
WHERE key = 'pool_fee' OR id IN (
    SELECT COALESCE(j.id, a.id)
    FROM entries e
    JOIN postings p ON p.entry_id = e.id
    JOIN accounts a ON a.id = p.account_id
    LEFT JOIN miners m ON m.id = a.miner_id
    LEFT JOIN accounts j ON j.miner_id = m.joined_into AND j.kind = a.kind
    WHERE e.kind = 'block_credited' AND e.reference = $1
)
ORDER BY id {lock}
