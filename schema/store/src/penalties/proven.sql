-- Address and origin of those with verified shares and no false one since the minute $1, those with most first.
SELECT m.address, i.origin, COUNT(*) AS verified, CAST(MAX(v.minute) AS BIGINT) AS last
FROM verdicts v
JOIN worker_identities i ON i.id = v.identity_id
JOIN miners m ON m.id = i.miner_id
WHERE v.minute >= $1
GROUP BY m.address, i.origin
HAVING SUM(CASE WHEN v.verdict = 'verified' THEN 0 ELSE 1 END) = 0
ORDER BY verified DESC, m.address, i.origin
LIMIT $2
