-- What forgotten worker identities had done stays with their hosts.
WITH r AS MATERIALIZED (
    SELECT CAST(value->>0 AS BIGINT) AS id, SUM(CAST(value->>2 AS BIGINT)) AS shares,
        SUM(CAST(value->>3 AS BIGINT)) AS work, SUM(CAST(value->>4 AS BIGINT)) AS rejects
    FROM {rows} GROUP BY CAST(value->>0 AS BIGINT)
)
UPDATE hosts SET gone_shares = hosts.gone_shares + r.shares, gone_work = hosts.gone_work + r.work,
    gone_rejects = hosts.gone_rejects + r.rejects
FROM r WHERE hosts.id = r.id
