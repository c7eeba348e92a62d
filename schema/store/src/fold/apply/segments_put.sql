-- Segments that are new or have grown.
INSERT INTO segments (identity_id, start_seq, last_seq, minute, shares, work, total_shares, total_work)
SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT),
    CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT), CAST(value->>7 AS BIGINT)
FROM {rows} WHERE true
ON CONFLICT (identity_id, start_seq) DO UPDATE SET last_seq = excluded.last_seq, shares = excluded.shares,
    work = excluded.work, total_shares = excluded.total_shares, total_work = excluded.total_work
