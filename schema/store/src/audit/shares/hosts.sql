-- Hosts whose totals are not those of their worker identities.
SELECT 'host ' || h.name AS subject, h.work AS stored, CAST(h.gone_work + COALESCE(i.work, 0) AS BIGINT) AS computed
FROM hosts h
LEFT JOIN (
    SELECT host_id, SUM(shares) AS shares, SUM(work) AS work, SUM(rejects) AS rejects
    FROM worker_identities GROUP BY host_id
) AS i ON i.host_id = h.id
WHERE h.work <> h.gone_work + COALESCE(i.work, 0)
    OR h.shares <> h.gone_shares + COALESCE(i.shares, 0)
    OR h.rejects <> h.gone_rejects + COALESCE(i.rejects, 0)
