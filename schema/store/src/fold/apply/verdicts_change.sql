-- How many more shares will be verified, and how many more refuted, when these verdicts are put: what a row says after
-- the upsert, less what it said before it.
SELECT c.verified_after - c.verified_before AS verified,
    (c.judged_after - c.verified_after) - (c.judged_before - c.verified_before) AS refuted
FROM (
    SELECT COUNT(*) AS judged_after, COUNT(v.verdict) AS judged_before,
        COUNT(CASE WHEN v.verdict = 'verified' THEN 1 END) AS verified_before,
        COUNT(CASE WHEN
            CASE WHEN v.verdict IS NULL OR value->>4 = 'voided' THEN value->>4 ELSE v.verdict END = 'verified'
        THEN 1 END) AS verified_after
    FROM {rows} LEFT JOIN verdicts v ON v.host_id = $2 AND v.share_seq = CAST(value->>0 AS BIGINT)
) AS c
