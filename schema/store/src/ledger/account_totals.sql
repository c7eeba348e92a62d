-- Sum of balances per kind of account.
SELECT kind, CAST(SUM(balance) AS BIGINT) AS total FROM accounts GROUP BY kind
