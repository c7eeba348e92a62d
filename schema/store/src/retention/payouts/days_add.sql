-- Adds to what was paid by day.
INSERT INTO payout_days (day, payouts, recipients, gross, net, fee, last_sent_at)
SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT),
    CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT)
FROM {rows} WHERE true
ON CONFLICT (day) DO UPDATE SET
    payouts = payout_days.payouts + excluded.payouts,
    recipients = payout_days.recipients + excluded.recipients,
    gross = payout_days.gross + excluded.gross,
    net = payout_days.net + excluded.net,
    fee = payout_days.fee + excluded.fee,
    last_sent_at = CASE WHEN payout_days.last_sent_at > excluded.last_sent_at THEN payout_days.last_sent_at
        ELSE COALESCE(excluded.last_sent_at, payout_days.last_sent_at) END
