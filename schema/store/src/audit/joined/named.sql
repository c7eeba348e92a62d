-- Entries that join and do not name a joined miner.
SELECT e.reference AS subject, e.id AS stored, COALESCE(m.id, 0) AS computed
FROM entries e
LEFT JOIN miners m ON m.address = e.reference
WHERE e.kind = 'accounts_joined' AND m.joined_into IS NULL
