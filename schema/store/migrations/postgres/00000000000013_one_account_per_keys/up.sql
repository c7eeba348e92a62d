-- Whoever folds or writes money holds a row of one of these before any other.
LOCK TABLE leases, hosts IN EXCLUSIVE MODE;
-- The miner of the checksummed text of the same keys, to which everything of this one went. What was computed or sent under
-- this text stays under it: weights, payouts, entries. Set by the program that applies this file (`migrate/join.rs`).
ALTER TABLE miners ADD COLUMN joined_into BIGINT;
CREATE INDEX miners_joined ON miners (joined_into) WHERE joined_into IS NOT NULL;
-- The finder's address as the weights were computed with it, where that is not its text any more.
ALTER TABLE blocks ADD COLUMN found_as TEXT;

-- An older program that still runs must not begin the second account again: its shares wait in its log.
CREATE FUNCTION miner_is_joined() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM miners WHERE id = NEW.miner_id AND joined_into IS NOT NULL) THEN
        RAISE EXCEPTION 'this text of the address was joined into the checksummed one';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lines_of_joined BEFORE INSERT ON worker_identities FOR EACH ROW EXECUTE FUNCTION miner_is_joined();
CREATE TRIGGER accounts_of_joined BEFORE UPDATE OF balance ON accounts FOR EACH ROW WHEN (NEW.balance <> 0)
    EXECUTE FUNCTION miner_is_joined();
