-- Removes worker identities.
DELETE FROM worker_identities WHERE id IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})
