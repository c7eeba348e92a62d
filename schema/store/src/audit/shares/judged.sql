-- Hosts that do not count their verdicts.
SELECT 'host ' || h.name AS subject, h.verified + h.refuted AS stored,
    h.pruned_verified + h.pruned_refuted + COALESCE(v.verified, 0) + COALESCE(v.refuted, 0) AS computed
FROM hosts h
LEFT JOIN (
    SELECT host_id, COUNT(CASE WHEN verdict = 'verified' THEN 1 END) AS verified,
        COUNT(CASE WHEN verdict <> 'verified' THEN 1 END) AS refuted
    FROM verdicts GROUP BY host_id
) AS v ON v.host_id = h.id
WHERE h.verified <> h.pruned_verified + COALESCE(v.verified, 0)
    OR h.refuted <> h.pruned_refuted + COALESCE(v.refuted, 0)
