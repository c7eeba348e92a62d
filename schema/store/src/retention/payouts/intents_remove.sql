-- Removes payouts.
DELETE FROM intents WHERE id IN (SELECT value->>0 FROM {rows})
