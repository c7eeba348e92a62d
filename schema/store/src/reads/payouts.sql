-- A page of payouts, newest first.
SELECT p.id, p.state, p.txid, p.attention, p.recipients, COALESCE(p.sent_at, p.created_at) AS at,
    COALESCE(p.fee_paid, p.fee_expected) AS fee,
    (SELECT CAST(SUM(r.net) AS BIGINT) FROM intent_recipients r WHERE r.intent_id = p.id) AS net
FROM intents p
WHERE p.state <> 'released'
ORDER BY p.created_at DESC, p.id
LIMIT $1 OFFSET $2
