-- Payouts that do not count their recipients.
SELECT i.id AS subject, i.recipients AS stored, COUNT(r.miner_id) AS computed
FROM intents i
LEFT JOIN intent_recipients r ON r.intent_id = i.id
GROUP BY i.id, i.recipients
HAVING i.recipients <> COUNT(r.miner_id)
