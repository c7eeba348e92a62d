-- Removes verdicts by host and share.
DELETE FROM verdicts WHERE (host_id, share_seq) IN (
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT) FROM {rows}
)
