ALTER TABLE intents DROP COLUMN wallet;
ALTER TABLE intents DROP COLUMN operator_word;
ALTER TABLE intent_attempts DROP COLUMN repeated;
ALTER TABLE hosts DROP COLUMN caught_up_at;
ALTER TABLE hosts DROP COLUMN retired_at;
ALTER TABLE block_windows DROP COLUMN verdict_seq;
ALTER TABLE blocks DROP COLUMN final_at;
