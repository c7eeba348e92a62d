-- Inserts the weights of the block $2: miner, verified and provisional work, weight, credit.
WITH v AS (SELECT value FROM {rows})
INSERT INTO block_weights (block_id, miner_id, verified, provisional, weight, credit)
SELECT CAST($2 AS BIGINT), CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT),
    CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT)
FROM v
