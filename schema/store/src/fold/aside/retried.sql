-- Records that are in the log again, once.
UPDATE set_aside_records SET retried_seq = $1, retried_minute = $2
WHERE id = $3 AND host_id = $4 AND COALESCE(retried_seq, $1) = $1
