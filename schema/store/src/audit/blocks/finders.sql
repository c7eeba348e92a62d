-- Blocks whose window ends before the share that found them.
SELECT b.hash AS subject, COALESCE(w.end_seq, 0) AS stored, b.share_seq AS computed
FROM blocks b
LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = b.host_id
WHERE b.identity_id IS NOT NULL AND COALESCE(w.end_seq, 0) < b.share_seq
