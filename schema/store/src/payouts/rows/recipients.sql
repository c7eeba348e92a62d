-- Recipients of a payout. Their miners are there: the entry that sets their money aside has made them.
INSERT INTO intent_recipients (miner_id, gross, net, intent_id)
SELECT m.id, v.gross, v.net, $2
FROM (SELECT value->>0 AS address, CAST(value->>1 AS BIGINT) AS gross, CAST(value->>2 AS BIGINT) AS net FROM {rows}) AS v
JOIN miners m ON m.address = v.address
