-- Removes the recipients of payouts.
DELETE FROM intent_recipients WHERE intent_id IN (SELECT value->>0 FROM {rows})
