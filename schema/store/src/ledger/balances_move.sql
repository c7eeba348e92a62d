-- Adds an entry's postings to the balances of their accounts.
UPDATE accounts SET
    balance = accounts.balance + d.amount,
    from_blocks = accounts.from_blocks
        + CASE WHEN d.kind IN ('block_credited', 'block_reversed') THEN d.amount ELSE 0 END
FROM (
    SELECT p.account_id, e.kind, CAST(SUM(p.amount) AS BIGINT) AS amount
    FROM postings p JOIN entries e ON e.id = p.entry_id
    WHERE p.entry_id = $1
    GROUP BY p.account_id, e.kind
) AS d
WHERE accounts.id = d.account_id
