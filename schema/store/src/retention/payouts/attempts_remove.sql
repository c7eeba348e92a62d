-- Removes the attempts of payouts.
DELETE FROM intent_attempts WHERE intent_id IN (SELECT value->>0 FROM {rows})
