-- Blocks with weights too early or without them too late: they are there from `confirmed` on, and not before. A lost
-- block may have them: it was lost while it waited.
SELECT hash || ' ' || state AS subject, COALESCE(verdict_seq, 0) AS stored, CAST(0 AS BIGINT) AS computed
FROM blocks
WHERE (weights_digest IS NULL AND state IN ('confirmed', 'credited', 'reversed'))
    OR (weights_digest IS NOT NULL AND state IN ('candidate', 'submitted', 'seen'))
    OR (weights_digest IS NULL AND EXISTS (SELECT 1 FROM block_weights w WHERE w.block_id = blocks.id))
