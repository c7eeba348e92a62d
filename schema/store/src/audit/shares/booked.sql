-- What segments book of a host in some minutes, by worker identity and minute.
SELECT s.identity_id, s.minute, MAX(s.span) AS span, CAST(SUM(s.shares) AS BIGINT) AS shares,
    CAST(SUM(s.work) AS BIGINT) AS work
FROM segments s JOIN worker_identities i ON i.id = s.identity_id
WHERE s.minute >= $1 AND s.minute < $2 AND i.host_id = $3
GROUP BY s.identity_id, s.minute
