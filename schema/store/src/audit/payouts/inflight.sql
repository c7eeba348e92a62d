-- Balances in flight that are not what open payouts took.
SELECT 'inflight:' || m.address AS subject, COALESCE(a.balance, 0) AS stored,
    CAST(COALESCE(o.gross, 0) AS BIGINT) AS computed
FROM miners m
LEFT JOIN accounts a ON a.miner_id = m.id AND a.kind = 'inflight'
LEFT JOIN (
    SELECT COALESCE(t.joined_into, t.id) AS miner_id, SUM(r.gross) AS gross
    FROM intents i JOIN intent_recipients r ON r.intent_id = i.id JOIN miners t ON t.id = r.miner_id
    WHERE i.state NOT IN ('settled', 'released')
    GROUP BY COALESCE(t.joined_into, t.id)
) AS o ON o.miner_id = m.id
WHERE COALESCE(a.balance, 0) <> COALESCE(o.gross, 0)
