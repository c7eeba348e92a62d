-- The sum of all balances.
SELECT CAST(SUM(balance) AS BIGINT) AS n FROM accounts
