-- Removes miners.
DELETE FROM miners WHERE id IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})
