-- Where a block's window ends in the log of its finder's host.
INSERT INTO block_windows (block_id, host_id, end_seq) VALUES ($1, $2, $3)
