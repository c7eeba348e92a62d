-- Forgets penalties that are forgiven at $1, and those that end before the $2 that end last.
DELETE FROM penalties
WHERE ends_at <= $1 OR ends_at < (
    SELECT MIN(ends_at) FROM (SELECT ends_at FROM penalties ORDER BY ends_at DESC LIMIT $2) AS kept
)
