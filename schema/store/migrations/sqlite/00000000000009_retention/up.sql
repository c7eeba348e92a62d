-- What is cleaned up, and what of it stays. Running totals of all that a host has folded: nobody adds up rows.
ALTER TABLE hosts ADD COLUMN shares INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN work INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN rejects INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN verified INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN refuted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN first_share_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN last_share_at INTEGER NOT NULL DEFAULT 0;
-- The part of the totals whose batches, verdicts or lines are gone.
ALTER TABLE hosts ADD COLUMN pruned_shares INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN pruned_work INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN pruned_verified INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN pruned_refuted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN gone_shares INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN gone_work INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN gone_rejects INTEGER NOT NULL DEFAULT 0;
-- What lines that are gone had done for the miner.
ALTER TABLE miners ADD COLUMN gone_shares INTEGER NOT NULL DEFAULT 0;
ALTER TABLE miners ADD COLUMN gone_rejects INTEGER NOT NULL DEFAULT 0;
ALTER TABLE miners ADD COLUMN gone_first_at INTEGER;
-- The part of a line's rejects whose rows are gone.
ALTER TABLE worker_identities ADD COLUMN pruned_rejects INTEGER NOT NULL DEFAULT 0;
-- How many minutes a segment stands for at most: 1, 10, or 1440 for a day.
ALTER TABLE segments ADD COLUMN span INTEGER NOT NULL DEFAULT 1 CHECK (span IN (1, 10, 1440));
ALTER TABLE share_batches ADD COLUMN last_minute INTEGER NOT NULL DEFAULT 0;
-- What blocks gave the account, reversals taken off.
ALTER TABLE accounts ADD COLUMN from_blocks INTEGER NOT NULL DEFAULT 0;

CREATE INDEX share_batches_by_minute ON share_batches (last_minute);
CREATE INDEX block_windows_by_end ON block_windows (host_id, end_seq);
CREATE INDEX blocks_by_template ON blocks (template_id);
CREATE INDEX verdicts_by_line ON verdicts (identity_id);

-- How far the cleaner is: whatever a kind of it removes is gone, or may be, before that minute.
CREATE TABLE retention_marks (
    kind TEXT PRIMARY KEY,
    minute INTEGER NOT NULL
) STRICT;

-- Summaries by day (since the epoch, UTC) of what was cleaned up. Miner 0 is the whole pool, names that are gone
-- included.
CREATE TABLE share_days (
    miner_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    shares INTEGER NOT NULL DEFAULT 0,
    work INTEGER NOT NULL DEFAULT 0,
    verified INTEGER NOT NULL DEFAULT 0,
    verified_work INTEGER NOT NULL DEFAULT 0,
    refuted INTEGER NOT NULL DEFAULT 0,
    refuted_work INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (miner_id, day)
) STRICT;
CREATE TABLE reject_days (
    miner_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (miner_id, day, reason)
) STRICT;
CREATE TABLE payout_days (
    day INTEGER PRIMARY KEY,
    payouts INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    gross INTEGER NOT NULL,
    net INTEGER NOT NULL,
    fee INTEGER NOT NULL,
    last_sent_at INTEGER
) STRICT;

UPDATE hosts SET shares = (SELECT CAST(COALESCE(SUM(l.shares), 0) AS INTEGER) FROM worker_identities l WHERE l.host_id = hosts.id),
    work = (SELECT CAST(COALESCE(SUM(l.work), 0) AS INTEGER) FROM worker_identities l WHERE l.host_id = hosts.id),
    rejects = (SELECT CAST(COALESCE(SUM(l.rejects), 0) AS INTEGER) FROM worker_identities l WHERE l.host_id = hosts.id),
    verified = (SELECT COUNT(*) FROM verdicts v WHERE v.host_id = hosts.id AND v.verdict = 'verified'),
    refuted = (SELECT COUNT(*) FROM verdicts v WHERE v.host_id = hosts.id AND v.verdict <> 'verified'),
    first_share_at = (SELECT COALESCE(MIN(l.first_share_at), 0) FROM worker_identities l WHERE l.host_id = hosts.id AND l.shares > 0),
    last_share_at = (SELECT COALESCE(MAX(l.last_share_at), 0) FROM worker_identities l WHERE l.host_id = hosts.id);
-- A day on top: the clocks of the two times may have differed.
UPDATE share_batches SET last_minute = last_at / 60000 + 1440;
UPDATE accounts SET from_blocks = (SELECT CAST(COALESCE(SUM(p.amount), 0) AS INTEGER) FROM postings p
    JOIN entries e ON e.id = p.entry_id
    WHERE p.account_id = accounts.id AND e.kind IN ('block_credited', 'block_reversed'));
