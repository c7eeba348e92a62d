-- A miner's own numbers, and how many accounts it has.
SELECT m.id, m.gone_shares, m.gone_rejects,
    (SELECT CAST(COALESCE(SUM(i.shares), 0) AS BIGINT) FROM worker_identities i WHERE i.miner_id = m.id) AS shares,
    (
        SELECT MIN(f.at) FROM (
            SELECT m.gone_first_at AS at
            UNION ALL
            SELECT i.first_share_at FROM worker_identities i WHERE i.miner_id = m.id AND i.shares > 0
        ) AS f
    ) AS first_share_at,
    (SELECT COUNT(*) FROM accounts a WHERE a.miner_id = m.id) AS accounts
FROM miners m
WHERE m.address = $1
