ALTER TABLE intent_recipients RENAME TO intent_lines;
ALTER TABLE penalties RENAME TO suspects;
ALTER TABLE blocks RENAME COLUMN identity_id TO line_id;
ALTER TABLE rejects RENAME COLUMN identity_id TO line_id;
ALTER TABLE verdicts RENAME COLUMN identity_id TO line_id;
ALTER TABLE segments RENAME COLUMN identity_id TO line_id;
ALTER TABLE worker_identities RENAME TO lines;
