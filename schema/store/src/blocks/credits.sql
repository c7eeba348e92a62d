-- What a block's weights gave each miner, by its address of today.
SELECT m.address, CAST(SUM(w.credit) AS BIGINT) AS credit
FROM block_weights w
JOIN miners o ON o.id = w.miner_id
JOIN miners m ON m.id = COALESCE(o.joined_into, o.id)
WHERE w.block_id = $1 AND w.credit > 0
GROUP BY m.address
ORDER BY m.address
