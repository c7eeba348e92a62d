-- The template of a new block.
SELECT id, policy_id FROM templates WHERE merkle_root = $1
