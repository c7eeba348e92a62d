-- Removes segments by identity and start.
DELETE FROM segments WHERE (identity_id, start_seq) IN (
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT) FROM {rows}
)
