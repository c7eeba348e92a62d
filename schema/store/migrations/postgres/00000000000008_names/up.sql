-- One word per thing: a worker's identity (address, worker name, origin), a penalty, a payout's recipient. A database
-- that has the later migrations already gets this one last: a rename gives the same tables before and after them.
ALTER TABLE lines RENAME TO worker_identities;
ALTER TABLE segments RENAME COLUMN line_id TO identity_id;
ALTER TABLE verdicts RENAME COLUMN line_id TO identity_id;
ALTER TABLE rejects RENAME COLUMN line_id TO identity_id;
ALTER TABLE blocks RENAME COLUMN line_id TO identity_id;
ALTER TABLE suspects RENAME TO penalties;
ALTER TABLE intent_lines RENAME TO intent_recipients;
