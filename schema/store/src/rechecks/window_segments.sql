-- A miner's segments on one host in a block's window, the latest first. In a file since SQLite must look for the minute
-- (`segments_by_line`), not for the position: a window is the end of a long history.
SELECT m.address, i.worker, i.origin, s.start_seq, s.last_seq, s.work
FROM blocks b
JOIN block_windows w ON w.block_id = b.id AND w.host_id = $1
JOIN worker_identities i ON i.host_id = w.host_id AND i.miner_id = $2
JOIN miners m ON m.id = i.miner_id
JOIN segments s ON s.identity_id = i.id AND s.minute >= b.window_start / 60000 AND s.start_seq <= w.end_seq
WHERE b.id = $3
ORDER BY s.start_seq DESC
LIMIT $4
