-- A host's positions and totals; other folders of it wait for this transaction.
SELECT folded_seq, closed_seq, shares, work, rejects, verified, refuted, first_share_at, last_share_at
FROM hosts WHERE id = $1 {lock}
