-- The shares of a step.
INSERT INTO share_batches (host_id, first_seq, last_seq, shares, work, first_at, last_at, digest, body, last_minute)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
