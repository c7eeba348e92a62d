-- Rejects by worker identity, minute and reason.
INSERT INTO rejects (identity_id, minute, reason, count)
SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2, CAST(value->>3 AS BIGINT)
FROM {rows} WHERE true
ON CONFLICT (identity_id, minute, reason) DO UPDATE SET count = rejects.count + excluded.count
