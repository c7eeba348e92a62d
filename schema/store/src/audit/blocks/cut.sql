-- Segments in which a window of a block ends.
SELECT b.hash || ' line ' || s.identity_id AS subject, s.last_seq AS stored, w.end_seq AS computed
FROM block_windows w
JOIN blocks b ON b.id = w.block_id
JOIN worker_identities i ON i.host_id = w.host_id
JOIN segments s ON s.identity_id = i.id AND s.start_seq = (
    SELECT MAX(y.start_seq) FROM segments y WHERE y.identity_id = i.id AND y.start_seq <= w.end_seq
)
WHERE w.block_id = $1 AND s.last_seq > w.end_seq
