-- The finder of a block that is there without one. What was computed without a finder stays without one, and so does a
-- block whose window was closed before its share came into the log again.
UPDATE blocks SET identity_id = $1, host_id = $2, share_seq = $3
WHERE hash = $4 AND identity_id IS NULL AND weights_digest IS NULL AND EXISTS (
    SELECT 1 FROM block_windows w WHERE w.block_id = blocks.id AND w.host_id = $2 AND w.end_seq >= $3
)
