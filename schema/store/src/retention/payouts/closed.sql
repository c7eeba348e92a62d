-- Payouts that were closed before a time and planned below a height, and that nobody must look at. The entry that
-- closed one says when: all its entries are older than what audits ask rows for.
SELECT i.id, i.state, i.recipients, i.gross, COALESCE(i.sent_at, i.created_at) AS at, i.sent_at,
    COALESCE(i.fee_paid, i.fee_expected) AS fee,
    CAST((SELECT COALESCE(SUM(r.net), 0) FROM intent_recipients r WHERE r.intent_id = i.id) AS BIGINT) AS net
FROM intents i
JOIN entries e ON e.reference = i.id
    AND e.kind = CASE i.state WHEN 'settled' THEN 'payout_settled' ELSE 'payout_released' END
WHERE i.state IN ('settled', 'released') AND e.at < $1 AND i.created_height < $2 AND i.attention IS NULL
ORDER BY i.created_at, i.id LIMIT $3
