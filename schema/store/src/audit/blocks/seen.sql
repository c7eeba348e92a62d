-- Windows with an end or verdicts that are not folded yet.
SELECT b.hash || ' ' || h.name AS subject, w.verdict_seq AS stored, h.folded_seq AS computed
FROM block_windows w
JOIN blocks b ON b.id = w.block_id
JOIN hosts h ON h.id = w.host_id
WHERE w.verdict_seq > h.folded_seq OR w.end_seq > h.folded_seq
