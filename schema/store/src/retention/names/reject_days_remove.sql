-- Removes the summaries of miners.
DELETE FROM reject_days WHERE miner_id IN (SELECT CAST(value->>0 AS BIGINT) FROM {rows})
