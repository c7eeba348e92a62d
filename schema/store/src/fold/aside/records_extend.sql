-- Records with more behind them.
UPDATE set_aside_records SET last_seq = $1, records = $2, body = $3 WHERE id = $4
