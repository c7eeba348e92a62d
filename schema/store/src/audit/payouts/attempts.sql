-- Payouts that lack attempts.
SELECT i.id AS subject, i.attempt AS stored, COUNT(t.attempt) AS computed
FROM intents i
LEFT JOIN intent_attempts t ON t.intent_id = i.id
GROUP BY i.id, i.attempt
HAVING i.attempt <> COUNT(t.attempt) OR i.attempt <> MAX(t.attempt)
