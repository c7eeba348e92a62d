-- New totals of worker identities.
WITH r AS MATERIALIZED (
    SELECT CAST(value->>0 AS BIGINT) AS id, CAST(value->>1 AS BIGINT) AS shares, CAST(value->>2 AS BIGINT) AS work,
        CAST(value->>3 AS BIGINT) AS rejects, CAST(value->>4 AS BIGINT) AS first_share_at,
        CAST(value->>5 AS BIGINT) AS last_share_at
    FROM {rows}
)
UPDATE worker_identities SET shares = r.shares, work = r.work, rejects = worker_identities.rejects + r.rejects,
    first_share_at = r.first_share_at, last_share_at = r.last_share_at
FROM r WHERE worker_identities.id = r.id
