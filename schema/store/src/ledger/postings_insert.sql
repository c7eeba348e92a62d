-- Inserts postings (key of the account, amount) of the entry $2.
WITH v AS (SELECT value->>0 AS key, CAST(value->>1 AS BIGINT) AS amount FROM {rows})
INSERT INTO postings (entry_id, account_id, amount)
SELECT CAST($2 AS BIGINT), a.id, v.amount FROM v JOIN accounts a ON a.key = v.key
