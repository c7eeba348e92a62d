-- Stores a policy (body $2, at $3) that is not there yet, under a number above $1 and above all that are there.
INSERT INTO policies (id, body, created_at)
SELECT (SELECT CASE WHEN MAX(id) > $1 THEN MAX(id) ELSE $1 END FROM policies) + 1, $2, $3
WHERE NOT EXISTS (SELECT 1 FROM policies WHERE body = $2)
ON CONFLICT DO NOTHING
