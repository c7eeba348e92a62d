-- A new block, of the template $4; no row when it is there already.
INSERT INTO blocks (
    hash, state, host_id, template_id, identity_id, nonce, share_seq, found_at, policy_id, window_start, round_work,
    round_started_at, pool_work, height, difficulty, reward
)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, t.height, t.difficulty, t.reward
FROM templates t WHERE t.id = $4
ON CONFLICT (hash) DO NOTHING
RETURNING id
