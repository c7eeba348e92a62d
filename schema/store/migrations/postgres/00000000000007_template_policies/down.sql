DROP INDEX blocks_open;
ALTER TABLE templates DROP COLUMN policy_id;
