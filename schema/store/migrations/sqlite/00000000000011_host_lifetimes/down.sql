DROP TABLE log_gaps;
ALTER TABLE hosts DROP COLUMN replaces;
ALTER TABLE hosts DROP COLUMN closed_at;
ALTER TABLE hosts DROP COLUMN opened_at;
