-- Adds the rejects that go to what is gone of their worker identities.
WITH r AS MATERIALIZED (SELECT CAST(value->>0 AS BIGINT) AS id, CAST(value->>1 AS BIGINT) AS count FROM {rows})
UPDATE worker_identities SET pruned_rejects = worker_identities.pruned_rejects + r.count
FROM r WHERE worker_identities.id = r.id
