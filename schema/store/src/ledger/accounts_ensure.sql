-- Makes the accounts (key, kind, address of its miner) that do not exist yet.
WITH v AS (SELECT value->>0 AS key, value->>1 AS kind, value->>2 AS address FROM {rows})
INSERT INTO accounts (key, kind, miner_id)
SELECT DISTINCT v.key, v.kind, m.id FROM v LEFT JOIN miners m ON m.address = v.address
WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE accounts.key = v.key)
ON CONFLICT (key) DO NOTHING
