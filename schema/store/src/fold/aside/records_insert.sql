-- Records of an item.
INSERT INTO set_aside_records (item_id, host_id, first_seq, last_seq, records, body) VALUES ($1, $2, $3, $4, $5, $6)
