-- The last records of an item that is not being retried.
SELECT r.id, r.records, r.body
FROM set_aside_records r JOIN set_aside s ON s.id = r.item_id
WHERE r.item_id = $1 AND s.retry_at IS NULL
ORDER BY r.id DESC LIMIT 1
