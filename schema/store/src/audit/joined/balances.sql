-- Joined accounts that are not empty.
SELECT a.key AS subject, a.balance AS stored, CAST(0 AS BIGINT) AS computed
FROM miners m
JOIN accounts a ON a.miner_id = m.id
WHERE m.joined_into IS NOT NULL AND a.balance <> 0
