-- New contents of segments that others were merged into.
WITH r AS MATERIALIZED (
    SELECT CAST(value->>0 AS BIGINT) AS identity_id, CAST(value->>1 AS BIGINT) AS start_seq,
        CAST(value->>2 AS BIGINT) AS last_seq, CAST(value->>3 AS BIGINT) AS shares, CAST(value->>4 AS BIGINT) AS work,
        CAST(value->>5 AS BIGINT) AS total_shares, CAST(value->>6 AS BIGINT) AS total_work
    FROM {rows}
)
UPDATE segments SET last_seq = r.last_seq, shares = r.shares, work = r.work, total_shares = r.total_shares,
    total_work = r.total_work, span = $2
FROM r WHERE segments.identity_id = r.identity_id AND segments.start_seq = r.start_seq
