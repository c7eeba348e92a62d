-- Makes the miners with these addresses that do not exist yet, first seen at $2.
WITH v AS (SELECT value->>0 AS address FROM {rows})
INSERT INTO miners (address, first_seen_at)
SELECT DISTINCT v.address, CAST($2 AS BIGINT) FROM v
WHERE NOT EXISTS (SELECT 1 FROM miners WHERE miners.address = v.address)
ON CONFLICT (address) DO NOTHING
