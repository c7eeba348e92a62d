-- Entries of payouts that are not there.
SELECT e.kind || ' ' || e.reference AS subject, CAST(1 AS BIGINT) AS stored, CAST(0 AS BIGINT) AS computed
FROM entries e
LEFT JOIN intents i ON i.id = e.reference
WHERE e.kind IN ('payout_reserved', 'payout_settled', 'payout_released') AND i.id IS NULL AND e.at >= $1
