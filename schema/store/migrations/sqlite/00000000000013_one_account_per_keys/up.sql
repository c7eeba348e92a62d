-- The miner of the checksummed text of the same keys, to which everything of this one went. What was computed or sent under
-- this text stays under it: weights, payouts, entries. Set by the program that applies this file (`migrate/join.rs`).
ALTER TABLE miners ADD COLUMN joined_into INTEGER;
CREATE INDEX miners_joined ON miners (joined_into) WHERE joined_into IS NOT NULL;
-- The finder's address as the weights were computed with it, where that is not its text any more.
ALTER TABLE blocks ADD COLUMN found_as TEXT;

-- An older program that still runs must not begin the second account again: its shares wait in its log.
CREATE TRIGGER lines_of_joined BEFORE INSERT ON worker_identities
WHEN EXISTS (SELECT 1 FROM miners WHERE id = NEW.miner_id AND joined_into IS NOT NULL) BEGIN
    SELECT RAISE(ABORT, 'this text of the address was joined into the checksummed one');
END;
CREATE TRIGGER accounts_of_joined BEFORE UPDATE OF balance ON accounts
WHEN NEW.balance <> 0 AND EXISTS (SELECT 1 FROM miners WHERE id = NEW.miner_id AND joined_into IS NOT NULL) BEGIN
    SELECT RAISE(ABORT, 'this text of the address was joined into the checksummed one');
END;
