-- The last of the next miners.
SELECT MAX(page.id) AS last
FROM (SELECT id FROM miners WHERE id > $1 ORDER BY id LIMIT $2) AS page
