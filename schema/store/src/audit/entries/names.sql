-- Accounts with another key than kind and miner give. The key is what postings name an account by; kind and miner are
-- what everybody else finds it by.
SELECT a.key AS subject, COALESCE(a.miner_id, 0) AS stored, CAST(0 AS BIGINT) AS computed
FROM accounts a
LEFT JOIN miners m ON m.id = a.miner_id
WHERE a.id > $1 AND a.id <= $2 AND a.key <> CASE WHEN m.id IS NULL THEN a.kind ELSE a.kind || ':' || m.address END
