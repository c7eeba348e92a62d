-- The next number under the key $1, at least $2.
INSERT INTO meta (key, value) VALUES ($1, CAST(CAST($2 AS BIGINT) AS TEXT))
ON CONFLICT (key) DO UPDATE SET value = CAST(
    CASE WHEN CAST(meta.value AS BIGINT) < $2 THEN $2 ELSE CAST(meta.value AS BIGINT) + 1 END AS TEXT
)
RETURNING CAST(value AS BIGINT) AS n
