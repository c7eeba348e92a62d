-- Miners that are joined into one that is not there, or is joined itself.
SELECT o.address AS subject, o.joined_into AS stored, COALESCE(n.joined_into, 0) AS computed
FROM miners o
LEFT JOIN miners n ON n.id = o.joined_into
WHERE o.joined_into IS NOT NULL AND (n.id IS NULL OR n.joined_into IS NOT NULL)
