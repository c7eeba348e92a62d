-- Accepted work in a block's window, per miner. `f` is an identity's first segment in it and `e` its last: the window
-- ends where segments of its host end, so a segment that begins before the end also ends before it. Totals include
-- their own segment, hence `+ f.work`.
SELECT m.id AS miner, m.address, CAST(SUM(e.total_work - f.total_work + f.work) AS BIGINT) AS accepted
FROM block_windows w
JOIN worker_identities i ON i.host_id = w.host_id
JOIN miners m ON m.id = i.miner_id
JOIN segments f ON f.identity_id = i.id AND f.start_seq = (
    SELECT x.start_seq FROM segments x
    WHERE x.identity_id = i.id AND x.minute >= $1 ORDER BY x.minute, x.start_seq LIMIT 1
)
JOIN segments e ON e.identity_id = i.id AND e.start_seq = (
    SELECT MAX(y.start_seq) FROM segments y WHERE y.identity_id = i.id AND y.start_seq <= w.end_seq
)
WHERE w.block_id = $2 AND f.start_seq <= w.end_seq
GROUP BY m.id, m.address
ORDER BY m.address
