-- Miners of worker identities that are not there yet, in order of address: two hosts that meet the same new miners must
-- not wait for each other.
INSERT INTO miners (address, first_seen_at)
SELECT DISTINCT value->>1 AS address, step.at
FROM {rows} CROSS JOIN (SELECT CAST($2 AS BIGINT) AS at) AS step
WHERE NOT EXISTS (SELECT 1 FROM miners WHERE address = value->>1)
ORDER BY address
ON CONFLICT (address) DO NOTHING
