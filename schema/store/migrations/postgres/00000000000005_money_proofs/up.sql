-- The address of the wallet that was, or is to be, asked: another wallet's word on this payout means nothing.
ALTER TABLE intents ADD COLUMN wallet TEXT;
-- What an operator has said about it, as JSON; empty when it was acted upon.
ALTER TABLE intents ADD COLUMN operator_word TEXT;
-- It was asked for more than once, and not every answer is known: a refusal of it proves nothing.
ALTER TABLE intent_attempts ADD COLUMN repeated BIGINT NOT NULL DEFAULT 0 CHECK (repeated IN (0, 1));
-- Everything that this host had made durable by then is folded.
ALTER TABLE hosts ADD COLUMN caught_up_at BIGINT NOT NULL DEFAULT 0;
-- Since when an operator says that its log never comes back.
ALTER TABLE hosts ADD COLUMN retired_at BIGINT;
-- How far the host's log was folded when the block's weights were computed.
ALTER TABLE block_windows ADD COLUMN verdict_seq BIGINT;
-- Since when no reorganisation can reach it.
ALTER TABLE blocks ADD COLUMN final_at BIGINT;
