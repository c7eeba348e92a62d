-- Removes all segments of worker identities.
DELETE FROM segments WHERE identity_id IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})
