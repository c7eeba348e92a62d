-- Sums over the whole history. Running totals, sums of accounts, counts over indexes: no share and no verdict is looked
-- at, so that nothing that is cleaned up is missed.
SELECT h.shares, h.rejects, h.last_share_at, h.verified, h.refuted,
    (SELECT COUNT(*) FROM blocks WHERE state NOT IN ('candidate', 'lost', 'reversed') AND displaced_at IS NULL)
        AS blocks,
    (SELECT COUNT(*) FROM blocks WHERE state IN ('lost', 'reversed') OR displaced_at IS NOT NULL) AS orphaned,
    (SELECT from_blocks FROM accounts WHERE key = 'pool_fee') AS fees,
    (SELECT CAST(SUM(balance) AS BIGINT) FROM accounts WHERE kind = 'paid_out') AS paid,
    a.miners AS unpaid_miners, a.balance AS unpaid, p.open AS payouts_open, p.gross AS payouts_open_amount,
    COALESCE((SELECT MAX(sent_at) FROM intents), (SELECT MAX(last_sent_at) FROM payout_days)) AS last_payout_at
FROM (
    SELECT CAST(SUM(shares) AS BIGINT) AS shares, CAST(SUM(rejects) AS BIGINT) AS rejects,
        CAST(SUM(verified) AS BIGINT) AS verified, CAST(SUM(refuted) AS BIGINT) AS refuted,
        MAX(last_share_at) AS last_share_at
    FROM hosts
) AS h, (
    SELECT COUNT(*) AS open, CAST(SUM(gross) AS BIGINT) AS gross FROM intents
    WHERE state IN ('reserved', 'unknown', 'broadcast', 'confirmed')
) AS p, (
    SELECT COUNT(*) AS miners, CAST(SUM(balance) AS BIGINT) AS balance FROM accounts
    WHERE kind = 'payable' AND balance > 0
) AS a
