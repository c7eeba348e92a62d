-- Gaps that operators have given up, and their positions.
SELECT COUNT(*) AS gaps, CAST(COALESCE(SUM(last_seq - first_seq + 1), 0) AS BIGINT) AS records
FROM log_gaps WHERE kind = 'lost'
