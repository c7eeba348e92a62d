-- Notes a send that the books do not have, or where it is now. What was given up and is in a block all the same is
-- undecided again.
INSERT INTO unknown_sends (txid, memo, wallet, sent_at, sent_height, fee, recipients, defect,
    chain_state, block_height, seen_height, noted_at, noted_height)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (txid) DO UPDATE SET
    chain_state = excluded.chain_state, block_height = excluded.block_height,
    seen_height = excluded.seen_height, defect = COALESCE(excluded.defect, unknown_sends.defect),
    decision = CASE WHEN unknown_sends.decision = 'given_up' AND excluded.chain_state = 'confirmed'
        THEN NULL ELSE unknown_sends.decision END
