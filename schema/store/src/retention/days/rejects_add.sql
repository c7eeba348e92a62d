-- Adds to what was refused by miner, day and reason.
INSERT INTO reject_days (miner_id, day, reason, count)
SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2, CAST(value->>3 AS BIGINT)
FROM {rows} WHERE true
ON CONFLICT (miner_id, day, reason) DO UPDATE SET count = reject_days.count + excluded.count
