ALTER TABLE intents DROP COLUMN reserved_epoch;
ALTER TABLE intents DROP COLUMN adopted_at;
DROP TABLE payout_books;
DROP INDEX unknown_sends_by_memo;
DROP TABLE unknown_sends;
