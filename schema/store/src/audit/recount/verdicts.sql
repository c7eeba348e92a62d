-- Judged work in a block's window by miner: what was known when its weights were computed, and what is known now.
SELECT m.address,
    CAST(SUM(CASE WHEN v.verdict = 'verified' AND v.seq <= COALESCE(w.verdict_seq, b.verdict_seq)
        THEN v.difficulty ELSE 0 END) AS BIGINT) AS verified,
    CAST(SUM(CASE WHEN v.verdict <> 'verified' AND v.seq <= COALESCE(w.verdict_seq, b.verdict_seq)
        THEN v.difficulty ELSE 0 END) AS BIGINT) AS taken,
    CAST(SUM(CASE WHEN v.verdict = 'voided' AND v.seq > COALESCE(w.verdict_seq, b.verdict_seq)
        THEN v.difficulty ELSE 0 END) AS BIGINT) AS voided_since,
    CAST(SUM(CASE WHEN v.verdict <> 'verified' THEN v.difficulty ELSE 0 END) AS BIGINT) AS taken_now
FROM block_windows w
JOIN blocks b ON b.id = w.block_id
JOIN verdicts v ON v.host_id = w.host_id AND v.minute >= $1 AND v.share_seq <= w.end_seq
JOIN worker_identities i ON i.id = v.identity_id
JOIN miners m ON m.id = i.miner_id
WHERE w.block_id = $2
GROUP BY m.address
