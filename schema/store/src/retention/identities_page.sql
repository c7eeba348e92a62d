-- The last of the next worker identities.
SELECT MAX(page.id) AS last
FROM (SELECT id FROM worker_identities WHERE id > $1 ORDER BY id LIMIT $2) AS page
