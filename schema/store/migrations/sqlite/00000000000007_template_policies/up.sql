-- The policy that was in force when the template became current: it prices the blocks that are made of it. Empty in rows of
-- older programs.
ALTER TABLE templates ADD COLUMN policy_id INTEGER;
-- Looked at with every tip.
CREATE INDEX blocks_open ON blocks (height) WHERE final_at IS NULL AND state <> 'lost';
