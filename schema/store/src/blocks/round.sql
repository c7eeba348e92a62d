-- What the pool has done, and where it stood at the newest block of the log. One statement, one moment: the pool's work
-- never reads lower than that of the block before.
SELECT
    (SELECT CAST(SUM(work) AS BIGINT) FROM hosts) AS pool_work,
    (SELECT pool_work FROM blocks ORDER BY id DESC LIMIT 1) AS before_work,
    (SELECT found_at FROM blocks ORDER BY id DESC LIMIT 1) AS before_at,
    (SELECT MIN(first_share_at) FROM hosts WHERE shares > 0) AS first_share_at
