-- Balances with a sign that their kind cannot have.
SELECT key AS subject, balance AS stored, CAST(0 AS BIGINT) AS computed
FROM accounts
WHERE id > $1 AND id <= $2 AND (
    (balance < 0 AND kind IN ('payable', 'inflight', 'pool_fee', 'paid_out', 'network_fee'))
    OR (balance > 0 AND kind IN ('chain_rewards', 'orphan_loss'))
)
