-- A miner's part of its payouts, newest first; also what was sent to a text that was joined into its address.
SELECT p.id, p.state, p.txid, p.attention, CAST(1 AS BIGINT) AS recipients,
    COALESCE(p.sent_at, p.created_at) AS at, r.gross - r.net AS fee, r.net AS net
FROM (
    SELECT id FROM miners WHERE address = $1
    UNION ALL
    SELECT o.id FROM miners m JOIN miners o ON o.joined_into = m.id WHERE m.address = $1
) AS m
JOIN intent_recipients r ON r.miner_id = m.id
JOIN intents p ON p.id = r.intent_id
WHERE p.state <> 'released'
ORDER BY p.created_at DESC, p.id
LIMIT $2
