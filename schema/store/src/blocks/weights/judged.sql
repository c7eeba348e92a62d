-- Judged work in a block's window, per miner.
SELECT i.miner_id AS miner,
    CAST(SUM(CASE WHEN v.verdict = 'verified' THEN v.difficulty ELSE 0 END) AS BIGINT) AS verified,
    CAST(SUM(CASE WHEN v.verdict = 'verified' THEN 0 ELSE v.difficulty END) AS BIGINT) AS taken
FROM block_windows w
JOIN verdicts v ON v.host_id = w.host_id AND v.minute >= $1 AND v.share_seq <= w.end_seq
JOIN worker_identities i ON i.id = v.identity_id
WHERE w.block_id = $2
GROUP BY i.miner_id
