-- Recipients of a payout. Their miners are there: the entry that sets their money aside has made them.
INSERT INTO intent_recipients (intent_id, miner_id, gross, net)
SELECT v.intent_id, m.id, v.gross, v.net
FROM (SELECT value->>0 AS intent_id, value->>1 AS address, CAST(value->>2 AS BIGINT) AS gross,
          CAST(value->>3 AS BIGINT) AS net FROM {rows}) AS v
JOIN miners m ON m.address = v.address
