-- Balances of recipients and the pool's fees before each adopted payout of a page was booked.
SELECT e.reference, a.key, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS amount
FROM intents i
JOIN entries e ON e.reference = i.id AND e.kind = 'payout_reserved'
JOIN accounts a ON a.kind = 'pool_fee' OR (
    a.kind = 'payable' AND a.miner_id IN (SELECT r.miner_id FROM intent_recipients r WHERE r.intent_id = i.id)
)
LEFT JOIN postings p ON p.account_id = a.id AND p.entry_id < e.id
WHERE i.id > $1 AND i.id <= $2 AND i.adopted_at IS NOT NULL
GROUP BY e.reference, a.key
