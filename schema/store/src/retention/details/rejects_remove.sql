-- Removes rejects by identity, minute and reason.
DELETE FROM rejects WHERE (identity_id, minute, reason) IN (
    SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2 FROM {rows}
)
