-- What a host's worker identities did, those that are gone included.
SELECT CAST(h.gone_shares + COALESCE(SUM(i.shares), 0) AS BIGINT) AS shares,
    CAST(h.gone_work + COALESCE(SUM(i.work), 0) AS BIGINT) AS work
FROM hosts h LEFT JOIN worker_identities i ON i.host_id = h.id
WHERE h.id = $1
GROUP BY h.id, h.gone_shares, h.gone_work
