-- A new item.
INSERT INTO set_aside (host_id, kind, seq, definition, why, set_aside_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
