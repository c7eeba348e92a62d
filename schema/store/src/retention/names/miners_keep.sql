-- What forgotten worker identities had done stays with their miners.
WITH r AS MATERIALIZED (
    SELECT CAST(value->>1 AS BIGINT) AS id, SUM(CAST(value->>2 AS BIGINT)) AS shares,
        SUM(CAST(value->>4 AS BIGINT)) AS rejects, MIN(CAST(value->>5 AS BIGINT)) AS first_at
    FROM {rows} GROUP BY CAST(value->>1 AS BIGINT)
)
UPDATE miners SET gone_shares = miners.gone_shares + r.shares, gone_rejects = miners.gone_rejects + r.rejects,
    gone_first_at = CASE WHEN r.first_at < miners.gone_first_at OR miners.gone_first_at IS NULL
        THEN r.first_at ELSE miners.gone_first_at END
FROM r WHERE miners.id = r.id
