-- Adds to what was mined by miner and day.
INSERT INTO share_days (miner_id, day, shares, work, verified, verified_work, refuted, refuted_work)
SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT),
    CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT), CAST(value->>6 AS BIGINT), CAST(value->>7 AS BIGINT)
FROM {rows} WHERE true
ON CONFLICT (miner_id, day) DO UPDATE SET
    shares = share_days.shares + excluded.shares,
    work = share_days.work + excluded.work,
    verified = share_days.verified + excluded.verified,
    verified_work = share_days.verified_work + excluded.verified_work,
    refuted = share_days.refuted + excluded.refuted,
    refuted_work = share_days.refuted_work + excluded.refuted_work
