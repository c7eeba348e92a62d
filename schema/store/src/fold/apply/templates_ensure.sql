-- Templates that are not there yet.
INSERT INTO templates (merkle_root, height, prev_hash, header_base, difficulty, reward, seen_at, policy_id)
SELECT value->>0, CAST(value->>1 AS BIGINT), value->>2, {unhex(value->>3)}, CAST(value->>4 AS BIGINT),
    CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT), CAST(value->>7 AS BIGINT)
FROM {rows}
WHERE NOT EXISTS (SELECT 1 FROM templates WHERE merkle_root = value->>0)
ON CONFLICT (merkle_root) DO NOTHING
