-- Removes share batches.
DELETE FROM share_batches WHERE id IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})
