-- The position after a step, and the totals with it.
UPDATE hosts SET folded_seq = $1, folded_at = $2, shares = $3, work = $4, rejects = $5, verified = $6, refuted = $7,
    first_share_at = $8, last_share_at = $9
WHERE id = $10
