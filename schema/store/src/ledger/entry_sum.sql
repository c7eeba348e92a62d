-- How many postings an entry has, and their sum.
SELECT COUNT(*) AS count, CAST(SUM(amount) AS BIGINT) AS sum FROM postings WHERE entry_id = $1
