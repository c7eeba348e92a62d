-- What was joined stays joined.
DROP TRIGGER accounts_of_joined ON accounts;
DROP TRIGGER lines_of_joined ON worker_identities;
DROP FUNCTION miner_is_joined();
ALTER TABLE blocks DROP COLUMN found_as;
DROP INDEX miners_joined;
ALTER TABLE miners DROP COLUMN joined_into;
